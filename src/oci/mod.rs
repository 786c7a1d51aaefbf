//! Images: in a registry, in a layout, in a tarball; what is in their file systems.
