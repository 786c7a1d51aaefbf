//! OS Login: user names on VMs, and SSH keys.

use serde_json::{Value, json};

use super::http::Request;
use super::state::State;
use super::{Refusal, unknown};

pub(super) fn answer(state: &mut State, request: &Request) -> Result<Value, Refusal> {
    match (request.method.as_str(), &request.parts()[..]) {
        // A user has no name on VMs before the first key.
        ("GET", ["users", user, "loginProfile"]) => {
            Ok(state.find(&request.path).cloned().unwrap_or_else(|| json!({ "name": user })))
        }
        ("POST", ["users", user, "importSshPublicKey"]) => {
            let profile = json!({
                "name": user,
                "posixAccounts": [{
                    "primary": true,
                    "username": user.replace(['@', '.'], "_"),
                    "uid": "1001",
                    "gid": "1001",
                    "operatingSystemType": "LINUX",
                }],
                "sshPublicKeys": {"f1": {"key": request.body["key"], "fingerprint": "f1"}},
            });
            state.put(&format!("oslogin/users/{user}/loginProfile"), profile.clone());
            Ok(json!({ "loginProfile": profile }))
        }
        _ => Err(unknown(request)),
    }
}
