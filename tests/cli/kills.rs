//! Runs that are killed at a random moment leave consistent files, and the next run continues.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::github::{Fault, Host, TOKEN};
use crate::support::test;
use crate::support::world::{World, release};
use rustix::process::{Pid, Signal, kill_process};

/// How many runs of each command are killed.
const KILLS: u32 = 200;

const NAMES: [&str; 4] = ["one", "two", "three", "four"];

/// A project with a few tools, none of which is locked.
fn world() -> World {
    let world = World::new(&NAMES.map(|name| format!("  - {{name: {name}, repo: owner/{name}}}\n")).concat());
    for name in NAMES {
        world.github.publish(&format!("owner/{name}"), release(name, "v1.0.0"));
    }
    // This many runs exceed GitHub's limit for requests without a token.
    world.with("GITHUB_TOKEN", TOKEN)
}

fn start(world: &World, arguments: &[&str]) -> Child {
    let bake = world.command();
    // A shell's background jobs and their children ignore Ctrl-C.
    let mut command = Command::new("env");
    command.env_clear().envs(bake.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.current_dir(bake.get_current_dir().unwrap_or(Path::new(".")));
    command.arg("--default-signal=INT").arg(bake.get_program()).args(bake.get_args()).args(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("bake")
}

fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).expect("a process that is not waited for yet");
}

/// Random numbers from a seed (Steele, Lea, Flood: "Fast Splittable Pseudorandom Number Generators").
struct Random(u64);

impl Random {
    /// A new seed for each run of the test, or the given one to reproduce a failure.
    fn seeded() -> Self {
        let seed = std::env::var("BAKE_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = seed.unwrap_or_else(|| {
            let now = std::time::SystemTime::UNIX_EPOCH.elapsed().expect("a time after 1970");
            u64::try_from(now.as_nanos() % u128::from(u64::MAX)).expect("what fits")
        });
        println!("BAKE_TEST_SEED={seed}");
        Self(seed)
    }

    /// A part of `whole`, from none to all of it.
    fn part_of(&mut self, whole: Duration) -> Duration {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        whole.mul_f64(f64::from(u32::try_from(mixed >> 32).expect("32 bits")) / f64::from(u32::MAX))
    }
}

/// How long an undisturbed run takes, and somewhat more, so that some kills come too late.
fn length(world: &World, arguments: &[&str]) -> Duration {
    let begun = Instant::now();
    assert!(start(world, arguments).wait().expect("an end").success());
    begun.elapsed().mul_f64(1.2)
}

/// The paths in the project's folder, without their content.
fn names(world: &World) -> BTreeSet<PathBuf> {
    world.project_files().into_keys().collect()
}

#[test]
fn a_lock_that_is_killed_leaves_the_old_one_or_the_new_one() {
    let mut random = Random::seeded();
    let world = world();
    world.bake(["lock"]).done();
    let old = fs::read(world.folder.join("bake.lock")).expect("a lock");
    let manifest = world.folder.read("images/binaries.yaml");
    let known = names(&world);
    for name in NAMES {
        world.github.publish(&format!("owner/{name}"), release(name, "v1.1.0"));
    }
    let update = ["lock", "--update"];
    fs::remove_dir_all(world.cache()).expect("a cache");
    let length = length(&world, &update);
    let new = fs::read(world.folder.join("bake.lock")).expect("a lock");
    assert!(old != new);
    let mut seen = [0, 0];
    for _ in 0..KILLS {
        world.folder.write("bake.lock", &old);
        fs::remove_dir_all(world.cache()).unwrap_or_default();
        world.github.begin_hour();
        let mut child = start(&world, &update);
        thread::sleep(random.part_of(length));
        signal(&child, Signal::KILL);
        child.wait().expect("an end");
        let now = fs::read(world.folder.join("bake.lock")).expect("a lock");
        assert!(now == old || now == new, "neither the old lock nor the new one");
        seen[usize::from(now == new)] += 1;
        assert_eq!(world.folder.read("images/binaries.yaml"), manifest);
        // The partial cache must not mislead the next run.
        world.bake(update).done();
        assert!(fs::read(world.folder.join("bake.lock")).expect("a lock") == new);
    }
    assert_eq!(names(&world), known, "killed runs left something that later ones did not settle");
    println!("the old one {} times, the new one {} times", seen[0], seen[1]);
    assert!(seen[0] > 0, "no kill came in time");
}

#[test]
fn an_edit_that_is_killed_leaves_manifest_and_lock_that_fit() {
    let mut random = Random::seeded();
    let world = world();
    world.bake(["lock"]).done();
    world.github.publish("owner/five", release("five", "v1.0.0"));
    let read = |world: &World| ["bake.lock", "images/binaries.yaml"].map(|name| world.folder.read(name));
    let old = read(&world);
    let known = names(&world);
    let add = ["add", "owner/five"];
    let length = length(&world, &add);
    let new = read(&world);
    for _ in 0..KILLS / 4 {
        for (name, text) in ["bake.lock", "images/binaries.yaml"].into_iter().zip(&old) {
            world.folder.write(name, text);
        }
        let mut child = start(&world, &add);
        thread::sleep(random.part_of(length));
        signal(&child, Signal::KILL);
        child.wait().expect("an end");
        for (now, (old, new)) in read(&world).iter().zip(old.iter().zip(&new)) {
            assert!(now == old || now == new, "neither old nor new:\n{now}");
        }
        // Either all of it happened, or the rest does now.
        world.bake(["lock"]).done();
        world.bake(["check"]).done();
    }
    assert_eq!(names(&world), known, "killed runs left something that later ones did not settle");
}

#[test]
fn a_fetch_that_is_killed_leaves_a_cache_that_the_next_one_can_use() {
    let mut random = Random::seeded();
    let world = world();
    world.bake(["lock"]).done();
    let project = world.project_files();
    fs::remove_dir_all(world.cache()).expect("a cache");
    let length = length(&world, &["fetch"]);
    let whole: BTreeSet<_> = world.files().into_keys().collect();
    for _ in 0..KILLS {
        fs::remove_dir_all(world.cache()).expect("a cache");
        let mut child = start(&world, &["fetch"]);
        thread::sleep(random.part_of(length));
        signal(&child, Signal::KILL);
        child.wait().expect("an end");
        world.bake(["fetch"]).done();
        let now: BTreeSet<_> = world.files().into_keys().collect();
        assert_eq!(now, whole, "the cache holds less or more than after an undisturbed run");
    }
    assert!(world.project_files() == project);
}

#[test]
fn an_interrupted_run_ends_and_leaves_nothing_half() {
    for (arguments, locked) in [(["lock", "--update"].as_slice(), false), (&["fetch"], true)] {
        let world = world();
        world.bake(["lock"]).done();
        if !locked {
            for name in NAMES {
                world.github.publish(&format!("owner/{name}"), release(name, "v1.1.0"));
            }
        }
        let project = world.project_files();
        fs::remove_dir_all(world.cache()).expect("a cache");
        world.github.requests();
        // It would wait for ten minutes, were it not interrupted.
        let world = world.with("BAKE_STALL_SECONDS", "600");
        world.github.fault(Host::Objects, "", Fault::Stall(100));
        let mut child = start(&world, arguments);
        world.github.wait_for(Host::Objects, "linux");
        signal(&child, Signal::INT);
        let status = child.wait().expect("an end");
        assert!(!status.success(), "{status}");
        assert!(world.project_files() == project);
        world.github.heal();
        world.bake(arguments.iter().copied()).done();
    }
}
