//! Holds upstream, lock, cache, bundle and image against each other.
