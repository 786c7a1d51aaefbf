//! `Dockerfile`: the base image by digest, every archive checked before it is used.

use serde::Serialize;

use super::fill;
use crate::digest::Sha256;
use crate::plan::{Base, Gather, Plan, Tool, Unpacker};

pub(super) const NAME: &str = "Dockerfile";

#[derive(Serialize)]
struct Context<'a> {
    base: &'a str,
    by_digest: bool,
    base_name: String,
    base_digest: String,
    lock: String,
    install_script: &'static str,
    unpackers: &'a [Unpacker],
    tools: &'a [Tool],
    gathers: &'a [Gather],
    last: &'a [String],
    apt: &'a [String],
}

pub(super) fn render(plan: &Plan<'_>) -> String {
    let (base, base_name, digest) = match &plan.base {
        Base::Pinned { reference, digest } => {
            (reference, plan.lock.image.reference.to_string(), Some(digest))
        }
        Base::Local(tag) => (tag, tag.clone(), None),
    };
    fill(
        NAME,
        include_str!("../../images/Dockerfile.j2"),
        &Context {
            base,
            by_digest: digest.is_some(),
            base_name,
            base_digest: digest.map(Sha256::oci).unwrap_or_default(),
            lock: plan.lock_digest.to_string(),
            install_script: include_str!("../../images/fetch-binary.sh"),
            unpackers: &plan.unpackers,
            tools: &plan.tools,
            gathers: &plan.gathers,
            last: &plan.last,
            apt: &plan.apt,
        },
    )
}
