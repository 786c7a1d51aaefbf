//! Writing to a registry (distribution-spec, "Push").
//!
//! Children are uploaded before their parents, and the index with its tag comes last: during and after an
//! interrupted push, pulls get the complete old or the complete new image. Each blob and manifest is first
//! checked for existence, so a repeated push resumes where the last one stopped.

use oci_spec::image::{Descriptor, ImageIndex, MediaType};
use url::Url;

use super::Credentials;
use super::{Access, AttemptError, RepositoryClient};
use crate::digest::Sha256;
use crate::http::{Client, Request, Response};
use crate::oci::OciError;
use crate::oci::{ACCEPTED, LONGEST_DOCUMENT, OciManifest, digest_of, parse};
use crate::oci::{Blob, BlobSource, Contents};
use crate::project::values::ImageRef;

const MOST_REDIRECTS: usize = 5;

/// Result of a push.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pushed {
    pub tag: String,
    /// Bytes sent, including manifests.
    pub sent: u64,
    /// Blobs that were sent.
    pub uploaded: usize,
    /// Blobs mounted from the base image's repository.
    pub mounted: usize,
    /// Blobs that already existed.
    pub present: usize,
    /// Why the SBOM is not attached; the image itself is complete.
    pub without_sbom: Option<String>,
}

pub struct PushTarget<'a> {
    /// Without a tag, the image gets [`own_tag`].
    pub image: &'a ImageRef,
    pub credentials: &'a Credentials,
    pub client: &'a Client,
}

/// Called for a blob when its upload starts, and again if it restarts; the returned closure receives the
/// number of bytes read.
pub type BlobProgress<'a> = dyn Fn(&Descriptor) -> Box<dyn FnMut(u64)> + 'a;

/// The default tag, derived from the digest. Without any tag, a registry's garbage collection would delete
/// an image that a VM may still need.
pub fn own_tag(index: Sha256) -> String {
    format!("bake-{}", index.short(12))
}

/// Uploads `contents`. If the registry refuses or a blob has the wrong digest, the index is not written.
pub fn push(
    contents: &Contents,
    target: &PushTarget<'_>,
    watch: &BlobProgress<'_>,
) -> Result<Pushed, OciError> {
    let image = target.image;
    let base = contents.base.reference.as_ref();
    // Mounting works only within one registry, and is pointless within the same repository.
    let from = base.filter(|base| base.registry() == image.registry() && base.name() != image.name());
    let from = from.map(ImageRef::name);
    let repository = RepositoryClient::new(target.client, image, target.credentials, Access::Push, from)?;
    let index = digest_of(&contents.index).map_err(|why| repository.answer(why))?;
    let tag = image.tag().map_or_else(|| own_tag(index), str::to_owned);
    let pushed = Pushed { tag, sent: 0, uploaded: 0, mounted: 0, present: 0, without_sbom: None };
    let mut push = Push { repository, contents, from, watch, pushed };
    for blob in &contents.blobs {
        let last = blob.descriptor.digest() == contents.index.digest();
        let name = if last { push.pushed.tag.clone() } else { blob.descriptor.digest().to_string() };
        push.put(blob, &name)?;
    }
    // At this point the image itself is complete.
    push.pushed.without_sbom = push.attach().err().map(|error| error.to_string());
    Ok(push.pushed)
}

struct Push<'a> {
    repository: RepositoryClient,
    contents: &'a Contents,
    from: Option<&'a str>,
    watch: &'a BlobProgress<'a>,
    pushed: Pushed,
}

impl Push<'_> {
    /// Uploads one blob, or a manifest under `name`, a digest or a tag.
    fn put(&mut self, blob: &Blob, name: &str) -> Result<(), OciError> {
        match &blob.from {
            BlobSource::Bytes(bytes) if is_manifest(&blob.descriptor) => {
                self.manifest(&blob.descriptor, bytes, name).map(|_| ())
            }
            _ => self.blob(blob),
        }
    }

    fn blob(&mut self, blob: &Blob) -> Result<(), OciError> {
        let digest = blob.descriptor.digest().to_string();
        if self.has(&format!("blobs/{digest}"))? {
            self.pushed.present += 1;
            return Ok(());
        }
        let mut from = self.from.filter(|_| matches!(blob.from, BlobSource::Base { .. }));
        let (repository, contents, watch) = (&self.repository, self.contents, self.watch);
        let mut challenged = false;
        let sent = repository.with_retries(|| {
            let uploads = repository.url("blobs/uploads/")?;
            let mut start = uploads.clone();
            if let Some(from) = from {
                start.query_pairs_mut().append_pair("mount", &digest).append_pair("from", from);
            }
            let begun = match (repository.ask(&start, Request::post(start.clone())), from) {
                (Ok(answer), Some(_)) if matches!(answer.status(), 400..=405) => None,
                // An expired token is a possible reason, so authenticate again first.
                (Err(AttemptError::Challenged(_)), Some(_)) if challenged => None,
                (Err(trouble), _) => {
                    challenged |= matches!(trouble, AttemptError::Challenged(_));
                    return Err(trouble);
                }
                (Ok(answer), _) => Some(answer),
            };
            // If mounting is denied, upload instead.
            let answer = if let Some(answer) = begun {
                answer
            } else {
                from = None;
                repository.ask(&uploads, Request::post(uploads.clone()))?
            };
            let mut url = match answer.status() {
                201 => return Ok(false),
                202 => repository.location(&answer)?,
                _ => return Err(repository.refused(answer, "the start of an upload")),
            };
            url.query_pairs_mut().append_pair("digest", &digest);
            for _ in 0..=MOST_REDIRECTS {
                let mut advance = watch(&blob.descriptor);
                let mut content = ProgressReader { inner: contents.open(blob)?, advance: &mut *advance };
                let request = Request::stream(url.clone(), &mut content, blob.descriptor.size())
                    .header("content-type", "application/octet-stream");
                let answer = repository.ask(&url, request).map_err(|trouble| match trouble {
                    AttemptError::Content(error) => AttemptError::Final(contents.base.failed(error)),
                    trouble => trouble,
                })?;
                match answer.status() {
                    200..=299 => return Ok(true),
                    // The stream has been consumed; it is read again for the new location.
                    307 | 308 => url = repository.redirected(&url, &answer)?,
                    _ => return Err(repository.refused(answer, &format!("the blob {digest}"))),
                }
            }
            Err(AttemptError::Final(repository.answer("it redirects an upload endlessly".to_owned())))
        })?;
        if sent {
            self.pushed.uploaded += 1;
            self.pushed.sent += blob.descriptor.size();
        } else {
            self.pushed.mounted += 1;
        }
        Ok(())
    }

    /// Uploads a manifest unless it exists. Returns the header with which a registry confirms that it
    /// processed the subject.
    fn manifest(
        &mut self,
        descriptor: &Descriptor,
        bytes: &[u8],
        name: &str,
    ) -> Result<Option<String>, OciError> {
        let digest = digest_of(descriptor).map_err(|why| self.repository.answer(why))?;
        if Sha256::of(bytes) != digest {
            return Err(OciError::Mismatch {
                image: self.contents.base.images.name().to_owned(),
                what: format!("the manifest {name}"),
                expected: digest.oci(),
                found: Sha256::of(bytes).oci(),
            });
        }
        let path = format!("manifests/{name}");
        if self.names(&path, digest)? {
            self.pushed.present += 1;
            return Ok(None);
        }
        let repository = &self.repository;
        let subject = repository.with_retries(|| {
            let url = repository.url(&path)?;
            let request = Request::put(url.clone(), bytes.to_vec())
                .header("content-type", descriptor.media_type().as_ref());
            let answer = repository.ask(&url, request)?;
            let stored = answer.header("docker-content-digest");
            let is_right = stored.is_none_or(|stored| stored == digest.oci());
            match answer.status() {
                200..=299 if is_right => Ok(answer.header("oci-subject").map(str::to_owned)),
                200..=299 => Err(AttemptError::Final(
                    repository.answer(format!("it stored the manifest {name} under another digest")),
                )),
                _ => Err(repository.refused(answer, &format!("the manifest {name}"))),
            }
        })?;
        self.pushed.uploaded += 1;
        self.pushed.sent += bytes.len() as u64;
        Ok(subject)
    }

    /// A redirect to the content counts as existing.
    fn has(&self, path: &str) -> Result<bool, OciError> {
        self.repository.with_retries(|| {
            let url = self.repository.url(path)?;
            let answer = self.repository.ask(&url, Request::head(url.clone()))?;
            match answer.status() {
                200 | 301 | 302 | 303 | 307 | 308 => Ok(true),
                404 => Ok(false),
                _ => Err(self.repository.refused(answer, path)),
            }
        })
    }

    /// Whether a digest or tag refers to this manifest. Some registries return the digest only for `GET`;
    /// in that case the manifest is sent again.
    fn names(&self, path: &str, digest: Sha256) -> Result<bool, OciError> {
        self.repository.with_retries(|| {
            let url = self.repository.url(path)?;
            let request = Request::head(url.clone()).accept(&ACCEPTED.join(", "));
            let answer = self.repository.ask(&url, request)?;
            match answer.status() {
                200 => Ok(answer.header("docker-content-digest").is_some_and(|there| there == digest.oci())),
                // A manifest stored elsewhere is sent again.
                301..=303 | 307 | 308 | 404 => Ok(false),
                _ => Err(self.repository.refused(answer, path)),
            }
        })
    }

    /// Attaches the referrer to the index (distribution-spec, "Pushing Manifests with Subject").
    fn attach(&mut self) -> Result<(), OciError> {
        let contents = self.contents;
        let Some((manifest, blobs)) = contents.referrer.split_last() else { return Ok(()) };
        let BlobSource::Bytes(bytes) = &manifest.from else { return Ok(()) };
        for blob in blobs {
            self.put(blob, blob.descriptor.digest().as_ref())?;
        }
        let subject = contents.index.digest().to_string();
        let name = manifest.descriptor.digest().to_string();
        if self.manifest(&manifest.descriptor, bytes, &name)?.is_some() {
            return Ok(());
        }
        let refers = |index: &ImageIndex| {
            index.manifests().iter().any(|listed| listed.digest() == manifest.descriptor.digest())
        };
        let (status, kept) = self.document(&format!("referrers/{subject}"))?;
        // A registry without the referrers API may return an arbitrary page.
        let kept: Option<ImageIndex> = parse(&kept).ok().filter(|_| status == 200);
        if kept.is_some_and(|index| refers(&index)) {
            return Ok(());
        }
        // Without a referrers API, clients maintain the list under a tag.
        let tag = subject.replace(':', "-");
        let (status, kept) = self.document(&format!("manifests/{tag}"))?;
        let mut index = match (status, OciManifest::read(&kept)) {
            (404, _) => ImageIndex::default(),
            (200, Ok((OciManifest::Index(index), _))) if refers(&index) => return Ok(()),
            (200, Ok((OciManifest::Index(index), _))) => *index,
            (status, _) => {
                let why = format!("HTTP {status} instead of a referrers list for the tag `{tag}`");
                return Err(self.repository.answer(why));
            }
        };
        let listed = index.manifests().iter().chain([&manifest.descriptor]).cloned().collect();
        index.set_media_type(Some(MediaType::ImageIndex)).set_manifests(listed);
        let bytes =
            index.to_string().map_err(|error| self.repository.answer(error.to_string()))?.into_bytes();
        let digest = Sha256::of(&bytes).oci().parse();
        let digest: oci_spec::image::Digest =
            digest.map_err(|error: oci_spec::OciSpecError| self.repository.answer(error.to_string()))?;
        let descriptor = Descriptor::new(MediaType::ImageIndex, bytes.len() as u64, digest);
        self.manifest(&descriptor, &bytes, &tag).map(|_| ())
    }

    /// Status and body for a request of an index.
    fn document(&self, path: &str) -> Result<(u16, Vec<u8>), OciError> {
        self.repository.with_retries(|| {
            let url = self.repository.url(path)?;
            let request = Request::new(url.clone()).raw().accept(MediaType::ImageIndex.as_ref());
            let mut answer = self.repository.ask(&url, request)?;
            Ok((answer.status(), answer.document(LONGEST_DOCUMENT)?))
        })
    }
}

impl RepositoryClient {
    /// The URL to continue an upload at.
    fn location(&self, answer: &Response) -> Result<Url, AttemptError> {
        let why = || self.answer("it returned no upload location".to_owned());
        answer.location().ok_or_else(|| AttemptError::Final(why()))
    }

    /// The new target of an upload; refuses a downgrade from HTTPS to HTTP.
    fn redirected(&self, from: &Url, answer: &Response) -> Result<Url, AttemptError> {
        let to = self.location(answer)?;
        if from.scheme() == "https" && to.scheme() != "https" {
            let why = "it redirects an upload from HTTPS to HTTP".to_owned();
            return Err(AttemptError::Final(self.answer(why)));
        }
        Ok(to)
    }
}

fn is_manifest(descriptor: &Descriptor) -> bool {
    ACCEPTED.contains(&descriptor.media_type().as_ref())
}

/// Reports progress.
struct ProgressReader<'a, R> {
    inner: R,
    advance: &'a mut dyn FnMut(u64),
}

impl<R: std::io::Read> std::io::Read for ProgressReader<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.inner.read(buffer)?;
        (self.advance)(count as u64);
        Ok(count)
    }
}
