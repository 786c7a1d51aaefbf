//! The VM's metadata, as arguments of gcloud.

use crate::digest::Sha256;

/// Keys that not every bundle sets.
const ENCODING: &str = "user-data-encoding";
const SERIAL_LOGGING: &str = "serial-port-logging-enable";

/// The key of a request to the VM: `update=…` or `rollback=…`. The VM compares it with the last one.
pub(super) const REQUEST: &str = "openclaw-request";

/// Keys that a running VM may have in addition to those of its bundle.
pub(super) const ON_RUNNING_VMS: [&str; 3] = [REQUEST, ENCODING, SERIAL_LOGGING];

/// How the user-data and what runs it go into the VM's metadata.
pub struct VmMetadata {
    /// The file with the user-data.
    pub user_data: &'static str,
    /// How the user-data is encoded, if it is.
    pub encoding: Option<&'static str>,
    /// The file with the startup script, where the OS image needs one to run user-data.
    pub startup_script: Option<&'static str>,
    /// Whether Cloud Logging keeps the log of the serial console.
    pub serial_logging: bool,
    /// The digest of the files' content.
    pub contents: Sha256,
    /// The identity of the release that the VM makes of it.
    pub release: String,
}

/// The value of a metadata key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attribute {
    /// This.
    Value(&'static str),
    /// The content of this file of the bundle.
    File(&'static str),
}

impl VmMetadata {
    /// Every key of the VM's metadata with what it holds ("About VM metadata", Compute Engine).
    pub fn attributes(&self) -> Vec<(&'static str, Attribute)> {
        let mut attributes = vec![
            ("enable-oslogin", Attribute::Value("TRUE")),
            ("block-project-ssh-keys", Attribute::Value("TRUE")),
            ("enable-guest-attributes", Attribute::Value("TRUE")),
        ];
        if self.serial_logging {
            attributes.push((SERIAL_LOGGING, Attribute::Value("TRUE")));
        }
        attributes.extend(self.encoding.map(|encoding| (ENCODING, Attribute::Value(encoding))));
        attributes.push(("user-data", Attribute::File(self.user_data)));
        attributes.extend(self.startup_script.map(|script| ("startup-script", Attribute::File(script))));
        attributes
    }

    /// The same for a VM that exists: keys that it may have from another bundle are overwritten, too.
    fn all_attributes(&self) -> Vec<(&'static str, Attribute)> {
        let mut attributes = self.attributes();
        if self.encoding.is_none() {
            attributes.push((ENCODING, Attribute::Value("")));
        }
        if !self.serial_logging {
            attributes.push((SERIAL_LOGGING, Attribute::Value("FALSE")));
        }
        attributes
    }

    /// The files that are read.
    pub(super) fn files(&self) -> Vec<&'static str> {
        std::iter::once(self.user_data).chain(self.startup_script).collect()
    }

    /// As gcloud's flags take it: `KEY=VALUE,…` for `--metadata` and `--metadata-from-file`.
    pub(super) fn flags(&self) -> (String, String) {
        flags(self.attributes())
    }

    /// The same for a VM that exists.
    pub(super) fn all_flags(&self) -> (String, String) {
        flags(self.all_attributes())
    }
}

fn flags(attributes: Vec<(&'static str, Attribute)>) -> (String, String) {
    let (mut values, mut files) = (Vec::new(), Vec::new());
    for (key, attribute) in attributes {
        match attribute {
            Attribute::Value(value) => values.push(format!("{key}={value}")),
            Attribute::File(file) => files.push(format!("{key}={file}")),
        }
    }
    (values.join(","), files.join(","))
}
