//! The operating systems of the VM, a row each.

use serde::{Deserialize, Serialize};

use super::values::Arch;

/// The differences between operating systems.
struct Facts {
    /// The image families for amd64 and arm64, and the project that publishes them on Compute Engine.
    image_families: [&'static str; 2],
    image_project: &'static str,
    /// Whether that image runs user-data. Google builds its Debian images without cloud-init.
    has_cloud_init: bool,
    /// Docker with Compose v2 and buildx.
    docker_packages: &'static [&'static str],
    /// The line for Docker's own repository, where the distribution has no Compose v2.
    docker_repository: Option<&'static str>,
    /// The URL of an image for a rehearsal, with a placeholder.
    disk_image: &'static str,
}

macro_rules! host_os {
    ($($(#[doc = $doc:literal])+ $os:ident = $name:literal $facts:tt)+) => {
        /// The VM's operating system.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, schemars::JsonSchema)]
        pub enum HostOs {
            $($(#[doc = $doc])+ #[serde(rename = $name)] $os,)+
        }

        impl HostOs {
            /// As the spec writes it.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$os => $name,)+
                }
            }

            const fn facts(self) -> Facts {
                match self {
                    $(Self::$os => Facts $facts,)+
                }
            }
        }
    };
}

host_os! {
    /// Debian 12, bookworm.
    Debian12 = "debian-12" {
        image_families: ["debian-12", "debian-12-arm64"],
        image_project: "debian-cloud",
        has_cloud_init: false,
        docker_packages:
            &["containerd.io", "docker-buildx-plugin", "docker-ce", "docker-ce-cli", "docker-compose-plugin"],
        docker_repository: Some(
            "deb [signed-by=/etc/apt/keyrings/docker.asc] https://download.docker.com/linux/debian bookworm stable",
        ),
        disk_image:
            "https://cloud.debian.org/images/cloud/bookworm/latest/debian-12-genericcloud-{arch}.qcow2",
    }
    /// Debian 13, trixie.
    Debian13 = "debian-13" {
        image_families: ["debian-13", "debian-13-arm64"],
        image_project: "debian-cloud",
        has_cloud_init: false,
        docker_packages: &["docker-buildx", "docker-cli", "docker-compose", "docker.io"],
        docker_repository: None,
        disk_image: "https://cloud.debian.org/images/cloud/trixie/latest/debian-13-genericcloud-{arch}.qcow2",
    }
    /// Ubuntu 24.04, noble.
    Ubuntu2404 = "ubuntu-24.04" {
        image_families: ["ubuntu-2404-lts-amd64", "ubuntu-2404-lts-arm64"],
        image_project: "ubuntu-os-cloud",
        has_cloud_init: true,
        docker_packages: &["docker-buildx", "docker-compose-v2", "docker.io"],
        docker_repository: None,
        disk_image: "https://cloud-images.ubuntu.com/noble/current/noble-server-cloudimg-{arch}.img",
    }
}

impl HostOs {
    /// Whether Compute Engine's image of it runs user-data by itself.
    pub const fn has_cloud_init(self) -> bool {
        self.facts().has_cloud_init
    }

    /// The image family, and the project that publishes it on Compute Engine.
    pub const fn image_family(self, arch: Arch) -> (&'static str, &'static str) {
        let [amd64, arm64] = self.facts().image_families;
        let family = match arch {
            Arch::Amd64 => amd64,
            Arch::Arm64 => arm64,
        };
        (family, self.facts().image_project)
    }

    /// The packages that bring Docker.
    pub const fn docker_packages(self) -> &'static [&'static str] {
        self.facts().docker_packages
    }

    /// The line of `sources.list` for Docker's own repository, if it is needed.
    pub const fn docker_repository(self) -> Option<&'static str> {
        self.facts().docker_repository
    }

    /// The URL of an image for a rehearsal.
    pub fn disk_image(self, arch: Arch) -> String {
        self.facts().disk_image.replace("{arch}", arch.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::{Arch, HostOs};

    #[test]
    fn the_image_for_a_rehearsal_follows_the_architecture() {
        for arch in Arch::ALL {
            for os in [HostOs::Debian12, HostOs::Debian13, HostOs::Ubuntu2404] {
                let image = os.disk_image(arch);
                assert!(image.contains(&format!("-{arch}.")), "{image}");
            }
        }
    }
}
