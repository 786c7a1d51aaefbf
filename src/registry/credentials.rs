//! Registry logins as stored by Docker and Podman (containers-auth.json(5)).

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use base64::Engine;
use base64::engine::GeneralPurpose;
use base64::engine::general_purpose::GeneralPurposeConfig;
use serde::Deserialize;

use crate::oci::OciError;
use crate::oci::sanitized;
use crate::project::values::ImageRef;

/// Limit for a file or a helper's output, in bytes.
const LONGEST: u64 = 1 << 20;

/// A helper may prompt for a password.
const HELPER_TIMEOUT: Duration = Duration::from_secs(120);

/// Programs write it with and without padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(base64::engine::DecodePaddingMode::Indifferent),
);

/// Deliberately not printable.
#[derive(Clone, Default)]
pub enum Credentials {
    /// Anonymous, which is sufficient for public images.
    #[default]
    Anonymous,
    /// From `docker login` or a credential helper.
    Password {
        user: String,
        /// The password, or a token used in its place.
        password: String,
    },
    /// An OAuth 2 refresh token, for the token service.
    IdentityToken(String),
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Anonymous => "Anonymous",
            Self::Password { .. } => "Password(…)",
            Self::IdentityToken(_) => "IdentityToken(…)",
        })
    }
}

impl Credentials {
    /// Searches `files` in order for a login to the registry of `image`, in `auths` or through a credential
    /// helper. Skips missing files and empty logins; anonymous if nothing is found.
    ///
    /// # Errors
    /// If a file cannot be read, or a helper fails other than by not knowing the registry. The helper's
    /// output is not repeated, because it could contain a secret.
    pub fn find(files: &[PathBuf], image: &ImageRef) -> Result<Self, OciError> {
        for path in files {
            let failed = |why| OciError::Credentials {
                registry: image.registry().to_owned(),
                file: path.display().to_string(),
                why,
            };
            let Some(text) = read(path).map_err(failed)? else { continue };
            let config: AuthFile = serde_json::from_slice(&text)
                // The parser's message could quote a secret.
                .map_err(|error| failed(format!("invalid JSON in line {}", error.line())))?;
            if let Some(found) = config.login(image).map_err(failed)? {
                return Ok(found);
            }
        }
        Ok(Self::Anonymous)
    }

    /// `None` if either is empty: some helpers return that for an unknown registry.
    fn of_password(user: &str, password: &str) -> Option<Self> {
        if password.is_empty() {
            return None;
        }
        match user {
            "" => None,
            "<token>" => Some(Self::IdentityToken(password.to_owned())),
            user => Some(Self::Password { user: user.to_owned(), password: password.to_owned() }),
        }
    }
}

/// `config.json` of Docker or `auth.json` of Podman.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct AuthFile {
    auths: BTreeMap<String, Login>,
    creds_store: String,
    cred_helpers: BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Login {
    /// `user:password` in Base64.
    auth: String,
    username: String,
    password: String,
    identitytoken: String,
}

/// Output of a credential helper (docker-credential-helpers, "get").
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HelperReply {
    #[serde(default)]
    username: String,
    #[serde(default)]
    secret: String,
}

impl AuthFile {
    fn login(&self, image: &ImageRef) -> Result<Option<Credentials>, String> {
        let registry = image.registry();
        let own =
            self.cred_helpers.iter().find(|(key, _)| host(key) == host(registry)).map(|(_, helper)| helper);
        let helper = own.unwrap_or(&self.creds_store);
        if !helper.is_empty() {
            // Docker stores logins to Docker Hub under the address of protocol version 1.
            let server = if host(registry) == HUB { "https://index.docker.io/v1/" } else { registry };
            if let Some(found) = ask(helper, server, HELPER_TIMEOUT)? {
                return Ok(Some(found));
            }
        }
        // Podman's keys may contain a repository path; the longest match wins.
        let repository = format!("{}/{}", host(registry), image.name());
        let mut fitting: Vec<_> = self
            .auths
            .iter()
            .filter(|(key, _)| {
                let rest = repository.strip_prefix(&key_of(key));
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            })
            .collect();
        fitting.sort_by_key(|(key, _)| std::cmp::Reverse(key_of(key).len()));
        for (key, login) in fitting {
            if let Some(found) = login.read().map_err(|why| format!("`auth` of {} {why}", sanitized(key)))? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }
}

impl Login {
    fn read(&self) -> Result<Option<Credentials>, &'static str> {
        if !self.identitytoken.is_empty() {
            return Ok(Some(Credentials::IdentityToken(self.identitytoken.clone())));
        }
        let auth = self.auth.trim();
        if auth.is_empty() {
            return Ok(Credentials::of_password(&self.username, &self.password));
        }
        let decoded = BASE64.decode(auth).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let decoded = decoded.ok_or("is not Base64-encoded text")?;
        let (user, password) =
            decoded.split_once(':').ok_or("contains no `:` between user name and password")?;
        Ok(Credentials::of_password(user, password.trim_end_matches('\0')))
    }
}

/// The canonical name of Docker Hub.
const HUB: &str = "docker.io";

/// The key without scheme and protocol version, which old programs include.
fn key_of(key: &str) -> String {
    let key = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
    let key = key.trim_end_matches('/');
    let key = ["/v1", "/v2"].iter().find_map(|version| key.strip_suffix(version)).unwrap_or(key);
    match key.split_once('/') {
        Some((registry, rest)) => format!("{}/{rest}", host(registry)),
        None => host(key).to_owned(),
    }
}

fn host(key: &str) -> &str {
    let key = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
    match key.split('/').next().unwrap_or(key) {
        "index.docker.io" | "registry-1.docker.io" => HUB,
        host => host,
    }
}

/// `None` if the file does not exist.
fn read(path: &Path) -> Result<Option<Vec<u8>>, String> {
    let mut text = Vec::new();
    let file = match std::fs::metadata(path) {
        // Opening a pipe would block.
        Ok(metadata) if !metadata.is_file() => return Err("not a file".to_owned()),
        Ok(_) => File::open(path),
        Err(error) => Err(error),
    };
    match file.and_then(|file| file.take(LONGEST + 1).read_to_end(&mut text)) {
        Ok(_) if text.len() as u64 > LONGEST => Err(format!("longer than {LONGEST} bytes")),
        Ok(_) => Ok(Some(text)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}

/// Asks the credential helper `name` for the login to `server`.
fn ask(name: &str, server: &str, timeout: Duration) -> Result<Option<Credentials>, String> {
    const NOT_FOUND: &str = "credentials not found";
    let program = format!("docker-credential-{name}");
    let shown = sanitized(&program);
    let see = format!("run `echo {server} | {shown} get` to see");
    if name.contains('/') {
        return Err(format!("`{shown}` is not the name of a program"));
    }
    let mut command = Command::new(&program);
    command.arg("get").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| {
        format!("`{shown}` cannot be run: add its folder to PATH, or remove it from the file if no login is needed ({error})")
    })?;
    // A helper that fails before reading closes its end; its output explains the failure better.
    let _ = child.stdin.take().map(|mut input| input.write_all(format!("{server}\n").as_bytes()));
    let Some((said, complained)) = heard(&mut child, timeout) else {
        let _ = child.kill();
        let _ = child.wait();
        return Err(format!("`{shown}` does not answer within {} s; {see} why", timeout.as_secs()));
    };
    let status = child.wait().map_err(|error| error.to_string())?;
    let says = |text: &[u8]| String::from_utf8_lossy(text).contains(NOT_FOUND);
    if !status.success() {
        let is_unknown = says(&said) || says(&complained);
        return if is_unknown { Ok(None) } else { Err(format!("`{shown}` fails; {see} why")) };
    }
    let answer: HelperReply =
        serde_json::from_slice(&said).map_err(|_| format!("the output of `{shown}` is invalid; {see} it"))?;
    Ok(Credentials::of_password(&answer.username, &answer.secret))
}

/// Output and error output of `child`; `None` on timeout.
fn heard(child: &mut Child, timeout: Duration) -> Option<(Vec<u8>, Vec<u8>)> {
    let (tell, sanitized) = mpsc::channel();
    let outputs: [Option<Box<dyn Read + Send>>; 2] = [
        child.stdout.take().map(|output| Box::new(output) as Box<dyn Read + Send>),
        child.stderr.take().map(|output| Box::new(output) as Box<dyn Read + Send>),
    ];
    for (which, output) in outputs.into_iter().enumerate() {
        let tell = tell.clone();
        thread::spawn(move || {
            let mut text = Vec::new();
            if let Some(output) = output {
                let _ = output.take(LONGEST).read_to_end(&mut text);
            }
            let _ = tell.send((which, text));
        });
    }
    let mut said = <(Vec<u8>, Vec<u8>)>::default();
    for _ in 0..2 {
        match sanitized.recv_timeout(timeout).ok()? {
            (0, text) => said.0 = text,
            (_, text) => said.1 = text,
        }
    }
    Some(said)
}

#[cfg(test)]
mod tests {
    use super::{AuthFile, Credentials};

    fn login(config: &str, image: &str) -> Result<Option<Credentials>, String> {
        let config: AuthFile = serde_json::from_str(config).map_err(|error| error.to_string())?;
        config.login(&image.parse()?)
    }

    #[track_caller]
    fn is(config: &str, image: &str, expected: &str) {
        let found = match login(config, image).expect("a config") {
            None => "none".to_owned(),
            Some(Credentials::Anonymous) => "anonymous".to_owned(),
            Some(Credentials::Password { user, password }) => format!("{user}:{password}"),
            Some(Credentials::IdentityToken(token)) => format!("identity {token}"),
        };
        assert_eq!(found, expected, "{config}");
    }

    #[test]
    fn a_login_is_found_under_every_form_of_its_registry() {
        // u:p
        for key in
            ["reg.test", "https://reg.test", "https://reg.test/v1/", "http://reg.test/v2/", "reg.test/"]
        {
            is(&format!(r#"{{"auths":{{"{key}":{{"auth":"dTpw"}}}}}}"#), "reg.test/a/b:1", "u:p");
        }
        let hub = r#"{"auths":{"https://index.docker.io/v1/":{"auth":"dTpw"}}}"#;
        is(hub, "docker.io/library/debian:13", "u:p");
        is(hub, "docker.io.example.org/a:1", "none");
        is(r#"{"auths":{"reg.test":{"auth":"dTpw"}}}"#, "reg.test:5000/a:1", "none");
        is(r#"{"auths":{"reg.test:5000":{"username":"u","password":"p:q"}}}"#, "reg.test:5000/a:1", "u:p:q");
    }

    #[test]
    fn the_longest_matching_podman_key_wins() {
        let config = r#"{"auths":{"quay.io":{"auth":"YTph"},"quay.io/team":{"auth":"Yjpi"},"quay.io/team/x":{"auth":"Yzpj"}}}"#;
        is(config, "quay.io/team/x:1", "c:c");
        is(config, "quay.io/team/y:1", "b:b");
        is(config, "quay.io/teams/y:1", "a:a");
    }

    #[test]
    fn empty_logins_are_ignored() {
        for login in
            ["{}", r#"{"auth":""}"#, r#"{"auth":"Og=="}"#, r#"{"username":"u"}"#, r#"{"auth":"dTo="}"#]
        {
            is(&format!(r#"{{"auths":{{"reg.test":{login}}}}}"#), "reg.test/a:1", "none");
        }
        is(r#"{"auths":{"reg.test":{"auth":"","identitytoken":"t"}}}"#, "reg.test/a:1", "identity t");
        // Without padding, and with the trailing NUL that old clients wrote.
        is(r#"{"auths":{"reg.test":{"auth":"dXU6cA"}}}"#, "reg.test/a:1", "uu:p");
        is(r#"{"auths":{"reg.test":{"auth":"dTpwAA=="}}}"#, "reg.test/a:1", "u:p");
    }

    #[test]
    fn errors_contain_no_secrets() {
        for auth in ["cGFzc3dvcmQ", "!!secret!!", "/v8="] {
            let config = format!(r#"{{"auths":{{"reg.test":{{"auth":"{auth}"}}}}}}"#);
            let why = login(&config, "reg.test/a:1").expect_err("broken");
            assert!(why.contains("reg.test") && !why.contains(auth) && !why.contains("password`"), "{why}");
        }
    }
}
