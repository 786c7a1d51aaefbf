//! The settings that the scripts read from `/opt/openclaw/settings.env`.

macro_rules! settings {
    ($($setting:ident = $name:literal, $meaning:literal;)*) => {
        /// A setting: `render` gives each one its value.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum VmSetting {
            $(#[doc = $meaning] $setting,)*
        }

        impl VmSetting {
            /// All settings, in the order of the file.
            pub const ALL: &'static [Self] = &[$(Self::$setting),*];

            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$setting => $name,)*
                }
            }

            pub const fn meaning(self) -> &'static str {
                match self {
                    $(Self::$setting => $meaning,)*
                }
            }
        }
    };
}

settings! {
    Strategy = "OPENCLAW_STRATEGY", "`image.strategy`.";
    Image = "OPENCLAW_IMAGE", "The image that the gateway runs.";
    SourceRepo = "OPENCLAW_SOURCE_REPO", "OpenClaw's git repository; empty unless it is built from source.";
    SourceCommit = "OPENCLAW_SOURCE_COMMIT", "The commit to build; empty unless it is built from source.";
    SourceImage = "OPENCLAW_SOURCE_IMAGE", "The name of the image built from source; empty otherwise.";
    Port = "OPENCLAW_PORT", "The gateway's port on the VM's loopback interface.";
    Packages = "OPENCLAW_PACKAGES", "Debian packages that the VM needs, separated by spaces.";
    Allow = "OPENCLAW_ALLOW", "Networks that the container may reach, as `NETWORK,PORT` or `NETWORK,`, separated by spaces.";
    Egress = "OPENCLAW_EGRESS", "`gateway.network.egress`.";
    Names = "OPENCLAW_NAMES", "With `listed`, the names that the container may reach, as `NAME,PORT`, separated by spaces.";
    SwapMib = "OPENCLAW_SWAP_MIB", "The size of the swap file in MiB; 0 for none.";
    DataDisk = "OPENCLAW_DATA_DISK", "The data disk's device name; empty without one.";
    AuthChoice = "OPENCLAW_AUTH_CHOICE", "The argument of OpenClaw's `onboard --auth-choice`.";
    Model = "OPENCLAW_MODEL", "The model, as JSON.";
    Channels = "OPENCLAW_CHANNELS", "The channels to set up, separated by spaces.";
    Secrets = "OPENCLAW_SECRETS", "The secrets, as `NAME=generate` or `NAME=secret-manager:ID`, separated by spaces.";
    AskAfterUpdate = "OPENCLAW_ASK_AFTER_UPDATE", "`yes` if an updated gateway has to answer a message, else empty.";
    Project = "OPENCLAW_PROJECT", "The project of Secret Manager; empty for the VM's own.";
    StopSeconds = "OPENCLAW_STOP_SECONDS", "How long the gateway may take to stop.";
}
