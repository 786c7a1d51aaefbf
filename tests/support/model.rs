//! A model on loopback with the API of `OpenAI` ("Chat completions"). It multiplies: its reply depends on the
//! question, so a page cannot show the reply without asking.

use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::Folder;
use super::server::{Answer, Asked, Server};

const NAME: &str = "abacus";

/// A server that runs until it is dropped.
pub struct Model {
    server: Server,
    key: Arc<Mutex<String>>,
}

/// A question for this model, and the part of the reply that proves it was answered.
#[derive(Clone, Copy, Debug)]
pub struct Question(pub u64, pub u64);

impl Question {
    pub fn text(self) -> String {
        format!("What is {} times {}?", self.0, self.1)
    }

    pub fn answer(self) -> String {
        (self.0 * self.1).to_string()
    }

    /// The last question in a text.
    fn last_in(text: &str) -> Option<Self> {
        let words: Vec<_> = text.split(|letter: char| !letter.is_ascii_alphanumeric()).collect();
        let question = |three: &[&str]| match three {
            [left, "times", right] => Some(Self(left.parse().ok()?, right.parse().ok()?)),
            _ => None,
        };
        words.windows(3).rev().find_map(question)
    }
}

impl Model {
    /// Serves on a listener. It refuses every request until [`Self::expect`] sets a key.
    pub fn on(listener: TcpListener) -> Self {
        let key = Arc::new(Mutex::new(String::new()));
        let expected = Arc::clone(&key);
        let server = Server::on(listener, move |asked| {
            Some(answer(asked, &expected.lock().expect("a thread that did not panic")))
        });
        Self { server, key }
    }

    /// Accepts only this key from now on.
    pub fn expect(&self, key: &str) {
        key.clone_into(&mut self.key.lock().expect("a thread that did not panic"));
    }

    /// Configures it as the model of a project, with a key in the environment variable `key`.
    pub fn configure(&self, folder: &Folder, key: &str, source: &str) {
        let url = self.server.url("/v1");
        folder.edit(
            "bake.yaml",
            "model: null",
            &format!("model: {{base_url: {url}, name: {NAME}, key: {key}}}"),
        );
        folder.write("bake.yaml", folder.read("bake.yaml") + &format!("  {key}: {{{source}}}\n"));
    }

    /// The number of chat completions since the last call.
    pub fn requests(&self) -> usize {
        self.server.paths().iter().filter(|path| *path == "/v1/chat/completions").count()
    }
}

fn answer(asked: &Asked, key: &str) -> Answer {
    let authorization = asked.header("Authorization").unwrap_or_default();
    if key.is_empty() || authorization.strip_prefix("Bearer ") != Some(key) {
        return refusal(401, "invalid_api_key");
    }
    match (&*asked.method, &*asked.path) {
        ("GET", "/v1/models") => {
            document(&json!({"object": "list", "data": [{"id": NAME, "object": "model"}]}))
        }
        ("POST", "/v1/chat/completions") => match serde_json::from_slice(&asked.body) {
            Ok(request) => complete(&request),
            Err(_) => refusal(400, "invalid_request_error"),
        },
        _ => refusal(404, "unknown_url"),
    }
}

fn complete(request: &Value) -> Answer {
    if request["model"] != NAME {
        return refusal(404, "model_not_found");
    }
    let messages = request["messages"].as_array().map_or(&[][..], Vec::as_slice);
    // The gateway may append notes to the user's text.
    let mut texts = messages.iter().rev().filter(|message| message["role"] == "user").map(Value::to_string);
    let question = texts.find_map(|text| Question::last_in(&text));
    let reply = question.map_or("I can only multiply.".to_owned(), |question| {
        format!("{} times {} makes {}.", question.0, question.1, question.answer())
    });
    if request["stream"] == true { stream(&reply) } else { whole(&reply) }
}

fn whole(reply: &str) -> Answer {
    let message = json!({"role": "assistant", "content": reply});
    document(&json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": NAME,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    }))
}

/// The reply word by word, as server-sent events.
fn stream(reply: &str) -> Answer {
    let event = |delta: Value, finish: Value| {
        let choice = json!({"index": 0, "delta": delta, "finish_reason": finish});
        let chunk = json!({
            "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": NAME, "choices": [choice],
        });
        format!("data: {chunk}\n\n")
    };
    let words = reply.split_inclusive(' ').map(|word| event(json!({"content": word}), Value::Null));
    let body: String = [event(json!({"role": "assistant", "content": ""}), Value::Null)]
        .into_iter()
        .chain(words)
        .chain([event(json!({}), json!("stop")), "data: [DONE]\n\n".to_owned()])
        .collect();
    Answer::of(body).header("Content-Type", "text/event-stream").chunked()
}

fn document(body: &Value) -> Answer {
    Answer::of(body.to_string()).header("Content-Type", "application/json")
}

fn refusal(status: u16, code: &str) -> Answer {
    let error =
        json!({"error": {"message": code, "type": "invalid_request_error", "param": null, "code": code}});
    document(&error).with_status(status)
}
