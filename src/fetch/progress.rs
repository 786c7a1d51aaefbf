//! The progress of downloads.

/// Shows downloads.
pub trait Progress: Sync {
    /// A download begins; `total` is its length in bytes, where the server tells it.
    fn started(&self, label: &str, total: Option<u64>) -> Box<dyn DownloadMeter>;
}

/// Shows one download, until it is dropped.
pub trait DownloadMeter {
    /// That many bytes have come.
    fn advance(&mut self, bytes: u64);

    /// Continues at that byte: forward if an earlier run has left a part, or back after a restart.
    fn restart_at(&mut self, byte: u64);
}

/// Shows nothing.
#[derive(Clone, Copy, Debug)]
pub struct Silent;

impl Progress for Silent {
    fn started(&self, _: &str, _: Option<u64>) -> Box<dyn DownloadMeter> {
        Box::new(Self)
    }
}

impl DownloadMeter for Silent {
    fn advance(&mut self, _: u64) {}

    fn restart_at(&mut self, _: u64) {}
}
