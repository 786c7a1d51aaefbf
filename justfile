# Commands for development: https://just.systems. tests/README.md describes the tests.

# Release build, without symbols
build:
    cargo build --release --locked

# All tests, with the real tools, on Debian 12 as root
test *ARGS:
    tests/all {{ARGS}}

# Format, unit tests, and the tests that need nothing installed
test-fast *NAMES:
    tests/fast {{NAMES}}

# Format, clippy, and the rules for dependencies
lint:
    cargo fmt --check
    cargo clippy --locked --all-targets -- -D warnings
    cargo deny --locked check bans licenses sources

# One benchmark or all: render, fetch, archive, image
bench *NAMES:
    for name in {{ if NAMES == "" { "render fetch archive image" } else { NAMES } }}; do cargo bench --locked --bench "$name" || exit 1; done
