//! `bake audit`: compares upstream, lock, cache, bundle and image.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};

use super::console::Console;
use super::load::{self, Loaded, LoadedLock};
use super::publishers::{Environment, Publishers, forge};
use super::render::standing;
use super::{Done, Failure};
use crate::audit::report::{Against, AuditReport, Check};
use crate::audit::{self, sarif};
use crate::cli;
use crate::diagnostics::Problems;
use crate::fetch;
use crate::lock;
use crate::lock::resolve::recheck;
use crate::lock::trust::Trust;
use crate::oci;
use crate::plan::Plan;
use crate::project::Project;
use crate::project::spec::ImageOrigin;
use crate::project::values::{Arch, ImageRef};
use crate::registry;
use crate::render;

/// Tools queried at the same time.
const AT_ONCE: usize = 8;

pub(super) fn run(
    dir: &Path,
    options: &cli::AuditArgs,
    json: bool,
    console: &mut Console,
) -> Result<Done, Failure> {
    let Loaded { project, lock, builtin, problems, .. } = load::load(dir)?;
    if builtin {
        console.note(load::NO_PROJECT);
    }
    let ((), _) = problems.unless_errors(())?;
    let locked = lock?;
    let publishers = Publishers::auditing(Environment::from_environment(0)?, console)
        .for_releases(locked.lock.binaries.len());
    let auditor = Auditor { dir, options, project: &project, locked: &locked, publishers: &publishers };
    let mut report = AuditReport::default();
    for against in auditor.asked(console)? {
        report.checks.extend(auditor.checks(against)?);
    }
    let trust = locked
        .lock
        .binaries
        .iter()
        .map(|(name, binary)| (name.clone(), Trust::in_binary(binary).to_string()));
    report.trust = trust.collect();
    let clean = report.is_clean();
    if json {
        console.json(&report.json())?;
    } else if options.sarif {
        let lock = locked.place.source.name();
        console.json(&sarif::document(&report, sarif::Paths { folder: &below_repository(), lock }))?;
    } else {
        // The table lists everything that could not be checked; the places add nothing to it.
        let (problems, verbose) = (report.problems(), console.is_verbose());
        console.problems(&if verbose { problems } else { problems.errors() });
        console.result(&report.table(verbose))?;
    }
    Ok(if clean { Done::Clean } else { Done::Finding })
}

struct Auditor<'a> {
    dir: &'a Path,
    options: &'a cli::AuditArgs,
    project: &'a Project,
    locked: &'a LoadedLock,
    publishers: &'a Publishers,
}

impl Auditor<'_> {
    /// The subjects of the audit. By default, a missing cache or bundle is skipped with a note.
    fn asked(&self, console: &mut Console) -> Result<Vec<Against>, Failure> {
        let mut asked: Vec<Against> = self.options.against.iter().map(|named| (*named).into()).collect();
        if asked.is_empty() {
            asked = vec![Against::Lock, Against::Upstream];
            let out = self.dir.join(&self.options.out);
            let cached = || self.locked.lock.binaries.values().flat_map(|binary| binary.builds.values());
            let has_cache =
                self.publishers.cache().is_ok_and(|cache| cached().any(|build| cache.has(&build.sha256)));
            for (against, there, what) in [
                (
                    Against::Cache,
                    has_cache,
                    "the cache holds none of the locked archives; `bake fetch` brings them",
                ),
                (Against::Bundle, out.exists(), "there is no bundle; `bake render` writes one"),
            ] {
                if there {
                    asked.push(against);
                } else {
                    console.note(&format!("note: {} is not audited: {what}", against.as_str()));
                }
            }
        }
        // `--image` implies `--against image`.
        if self.options.image.is_some() {
            asked.push(Against::Image);
        }
        if self.options.report.is_some() {
            asked.push(Against::Vm);
        }
        asked.sort_unstable();
        asked.dedup();
        if asked.contains(&Against::Image) && self.options.image.is_none() {
            return Err(Failure::Argument(
                "which image? name it with `--image REF` or `--image PATH`".to_owned(),
            ));
        }
        if asked.contains(&Against::Vm) && self.options.report.is_none() {
            return Err(Failure::Argument(format!(
                "which report? name it with `--report FILE`, or `--report -` for standard input: the output of \
                 `gcloud compute instances get-guest-attributes {} --query-path=openclaw/ --format=json`",
                self.project.spec.name.value
            )));
        }
        Ok(asked)
    }

    fn checks(&self, against: Against) -> Result<Vec<Check>, Failure> {
        let LoadedLock { lock, place, .. } = self.locked;
        Ok(match against {
            Against::Lock => audit::lock::check(lock, &self.misfits(), place),
            Against::Upstream => self.upstream(),
            Against::Cache => match self.publishers.cache() {
                Ok(cache) => audit::cache::check(lock, cache, place),
                Err(problem) => vec![Check::unchecked(Against::Cache, "cache", problem.message)],
            },
            Against::Bundle => self.bundle(),
            Against::Image => self.image()?,
            Against::Vm => self.vm()?,
        })
    }

    fn misfits(&self) -> Problems {
        let mut problems = Problems::default();
        let LoadedLock { lock, place, .. } = self.locked;
        lock::check_staleness(lock, self.project, &forge(), place, &mut problems);
        problems
    }

    fn upstream(&self) -> Vec<Check> {
        let LoadedLock { lock, place, .. } = self.locked;
        let image = recheck::image(&lock.image, self.publishers);
        let mut checks = audit::upstream::image(&lock.image, image, place);
        let binaries: Vec<_> = self
            .project
            .manifest
            .binaries
            .iter()
            .filter_map(|wanted| Some((wanted, lock.binaries.get(&wanted.name.value)?)))
            .collect();
        let asked = fetch::in_parallel(&binaries, AT_ONCE, |(wanted, locked)| {
            recheck::binary(wanted, locked, self.publishers)
        });
        for ((wanted, locked), today) in binaries.iter().zip(asked) {
            checks.extend(audit::upstream::binary(&wanted.name.value, locked, today, place));
        }
        let asked: BTreeSet<_> = binaries.iter().map(|(wanted, _)| &wanted.name.value).collect();
        let wanted = self.project.manifest.binaries.iter().map(|wanted| &wanted.name.value);
        let left = wanted.chain(lock.binaries.keys()).filter(|name| !asked.contains(name));
        checks.extend(left.map(|name| audit::upstream::unknown(name, lock, place)));
        checks
    }

    fn bundle(&self) -> Vec<Check> {
        let unchecked = |why: &str| vec![Check::unchecked(Against::Bundle, "bundle", why)];
        let LoadedLock { lock, digest, .. } = self.locked;
        if self.misfits().has_errors() {
            return unchecked("the lock does not fit the project, so nothing can be rendered from it");
        }
        let Ok(out) = load::output(self.dir, &self.options.out) else {
            return unchecked("its folder is a link that leads out of the project");
        };
        if !out.is_dir() {
            return unchecked("there is none; `bake render` writes it");
        }
        let plan = Plan::new(self.project, lock, *digest);
        let Ok((bundle, _)) = render::render(&plan) else {
            return unchecked("it cannot be rendered; `bake render` says why");
        };
        let rendered = bundle.iter().map(|(name, file)| (*name, file.text.as_bytes())).collect();
        let there: BTreeMap<_, _> = standing(&out);
        let there = there.iter().map(|(name, content)| (*name, content.as_slice())).collect();
        let shown = out.strip_prefix(".").unwrap_or(&out).display().to_string();
        audit::bundle::check(&shown, &rendered, &there)
    }

    /// The image for each of its architectures, and for the host's in any case.
    fn image(&self) -> Result<Vec<Check>, Failure> {
        let LoadedLock { lock, place, .. } = self.locked;
        let named = self.options.image.as_deref().unwrap_or_default();
        let source =
            registry::ImageSource::find(named).map_err(|error| Failure::Argument(error.to_string()))?;
        let unchecked =
            |error: &oci::OciError| vec![Check::unchecked(Against::Image, named, error.to_string())];
        let credentials = match &source {
            registry::ImageSource::Registry(reference) => self.publishers.credentials(reference),
            registry::ImageSource::Layout(_) | registry::ImageSource::Tarball(_) => {
                Ok(registry::Credentials::Anonymous)
            }
        };
        let images =
            match credentials.and_then(|credentials| source.open(self.publishers.client(), &credentials)) {
                Ok(images) => images,
                Err(error @ oci::OciError::NotASource { .. }) => {
                    return Err(Failure::Argument(error.to_string()));
                }
                Err(error) => return Ok(unchecked(&error)),
            };
        let host = self.project.spec.host.arch.value;
        let has =
            |arch: &Arch| *arch == host || !matches!(images.image(*arch), Err(oci::OciError::NoBuild { .. }));
        let mut checks = Vec::new();
        for arch in Arch::ALL.into_iter().filter(has) {
            let base = self.base_image(arch);
            let of_spec = self.project.spec.image.apt.iter().map(|package| &**package);
            let of_tools = lock.binaries.values().flat_map(|locked| &locked.apt);
            let context = audit::image::ImageContext {
                base: base.as_ref().map_err(String::as_str),
                cache: self.publishers.cache().ok(),
                packages: of_spec.chain(of_tools).collect(),
                accept_packages: self.options.accept_packages,
                accept_files: &self.options.accept_file,
            };
            checks.extend(audit::image::check(lock, arch, &*images, &context, place));
        }
        Ok(checks)
    }

    /// The VM whose report was fetched.
    fn vm(&self) -> Result<Vec<Check>, Failure> {
        /// Far above the report of a whole fleet.
        const LONGEST: u64 = 4 << 20;
        let path = self.options.report.as_deref().unwrap_or_else(|| Path::new("-"));
        let mut text = String::new();
        let read = if path == Path::new("-") {
            std::io::stdin().take(LONGEST).read_to_string(&mut text)
        } else {
            std::fs::File::open(path).and_then(|file| file.take(LONGEST).read_to_string(&mut text))
        };
        let shown = path.display();
        read.map_err(|error| Failure::Argument(format!("--report {shown}: {error}")))?;
        let reports =
            audit::vm::read(&text).map_err(|why| Failure::Argument(format!("--report {shown}: {why}")))?;
        let LoadedLock { lock, digest, place, .. } = self.locked;
        Ok(audit::vm::check(lock, digest, self.project.spec.host.arch.value, &reports, place))
    }

    /// The locked base image, from its registry.
    fn base_image(&self, arch: Arch) -> Result<oci::PlatformImage, String> {
        if matches!(self.project.spec.image.origin, ImageOrigin::Source { .. }) {
            return Err("it is built from source".to_owned());
        }
        let locked = &self.locked.lock.image;
        let reference: ImageRef = locked.reference.pinned(locked.digest).parse()?;
        let image = || {
            let credentials = self.publishers.credentials(&reference)?;
            let registry = registry::Registry::new(self.publishers.client(), &reference, &credentials)?;
            oci::Images::image(&registry, arch)
        };
        image().map_err(|error: oci::OciError| error.to_string())
    }
}

impl From<cli::AgainstArg> for Against {
    fn from(named: cli::AgainstArg) -> Self {
        match named {
            cli::AgainstArg::Lock => Self::Lock,
            cli::AgainstArg::Upstream => Self::Upstream,
            cli::AgainstArg::Cache => Self::Cache,
            cli::AgainstArg::Bundle => Self::Bundle,
            cli::AgainstArg::Image => Self::Image,
            cli::AgainstArg::Vm => Self::Vm,
        }
    }
}

/// The path from the root of the git repository to the working directory. File names are relative to the
/// latter, and code scanning expects them relative to the root.
fn below_repository() -> String {
    let Ok(here) = std::env::current_dir() else { return String::new() };
    let root: Option<PathBuf> =
        here.ancestors().find(|folder| folder.join(".git").exists()).map(Path::to_owned);
    let below = root.as_deref().and_then(|root| here.strip_prefix(root).ok());
    below.map_or_else(String::new, |below| below.display().to_string())
}
