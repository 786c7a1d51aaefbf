//! Any text as a spec and as a manifest: reading and reporting problems must not panic.

#![no_main]

use bake::diagnostics::{Problems, Source, terminal};
use bake::project::catalog::Catalog;
use bake::project::{Project, manifest, spec};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let mut problems = Problems::default();
    let spec = spec::read(Source::new("bake.yaml", text), &mut problems);
    let manifest = manifest::read(Source::new("binaries.yaml", text), Catalog::builtin(), &mut problems);
    if let (Some(spec), Some(manifest)) = (spec, manifest) {
        let _ = Project::new(spec, manifest, &mut problems);
    }
    let _ = terminal::render(&problems, false);
});
