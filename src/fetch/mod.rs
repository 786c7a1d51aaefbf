//! Downloads and the cache: every byte is hashed while it arrives, and again before it is used.
