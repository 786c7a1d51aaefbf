//! The model of a spec: `model` and `auth_choice` brought together.

use std::sync::Arc;

use super::Model;
use super::raw::RawModel;
use crate::diagnostics::{Code, Diagnostic, Location, Problems, Source, Spanned, did_you_mean, quoted};
use crate::project::names::{AuthChoice, EnvName, Provider};
use crate::project::openclaw::{Choice, Needs, OpenClaw, SKIP};
use crate::project::values::ModelApi;
use crate::yaml::decode::Field;

pub(super) struct ModelChecker<'a> {
    pub(super) known: &'static OpenClaw,
    pub(super) source: &'a Arc<Source>,
    pub(super) problems: &'a mut Problems,
}

impl ModelChecker<'_> {
    /// The argument of onboarding, and the model.
    pub(super) fn model(
        &mut self,
        raw: Field<Option<RawModel>>,
        auth_choice: Field<AuthChoice>,
    ) -> (Spanned<AuthChoice>, Model) {
        let given = auth_choice.at(self.source);
        let place = raw.place(self.source);
        let Some(model) = raw.get().flatten() else {
            return (given.unwrap_or_else(skip), Model::Default);
        };
        // `skip` next to a model has no effect.
        let given = given.filter(|given| given.as_str() != SKIP);
        let names_source = !model.provider.is_missing() || !model.base_url.is_missing();
        if !model.base_url.is_missing() {
            return (skip(), self.served(model, given, place));
        }
        for (key, place) in [("api", model.api.place(self.source)), ("key", model.key.place(self.source))] {
            if place.is_some() {
                self.contradiction(
                    format!("`{key}` is for a server, and `base_url` does not name one"),
                    place,
                    "remove it, or add `base_url: https://…`",
                );
            }
        }
        let provider = model.provider.at(self.source);
        let choice = match (&provider, given) {
            (Some(provider), given) => self.choice_of(provider, given),
            (None, Some(given)) => Some(given),
            (None, None) => {
                // A provider that could not be read was reported already.
                if !names_source {
                    self.problems.push(
                        Diagnostic::error(Code::MissingKey, "`model` does not say where the model is")
                            .at(place)
                            .help("add `provider: anthropic` or another provider, or `base_url: https://…` of a server"),
                    );
                }
                None
            }
        };
        let Some(choice) = choice else { return (skip(), Model::Default) };
        let by_choice = self.known.choice(choice.as_str()).map(|known| known.provider.as_str());
        let provider: Option<Provider> = by_choice.and_then(|provider| provider.parse().ok());
        match (model.name.at(self.source), provider) {
            (Some(name), Some(provider)) => (choice, Model::Named { provider, name }),
            (Some(name), None) => {
                self.problems.push(
                    Diagnostic::error(
                        Code::Contradiction,
                        format!(
                            "the auth choice {} names no provider that is known here",
                            quoted(choice.as_str())
                        ),
                    )
                    .at(choice.place.clone())
                    .related(name.place, "the model")
                    .help("write `provider:` under `model` in place of the auth choice"),
                );
                (choice, Model::Default)
            }
            (None, _) => (choice, Model::Default),
        }
    }

    fn choice_of(
        &mut self,
        provider: &Spanned<Provider>,
        given: Option<Spanned<AuthChoice>>,
    ) -> Option<Spanned<AuthChoice>> {
        let Some(usual) = self.known.provider(provider.as_str()) else {
            let providers = self.known.choices.iter().filter(|known| known.chats);
            let close = did_you_mean(provider.as_str(), providers.map(|known| known.provider.as_str()));
            let hint = close.map(|meant| format!("did you mean `{meant}`? ")).unwrap_or_default();
            self.problems.push(
                Diagnostic::error(
                    Code::BadValue,
                    format!("no model provider {} is known here", quoted(provider.as_str())),
                )
                .at(provider.place.clone())
                .help(format!("{hint}docs/gateway.md lists them; for another, `auth_choice` takes OpenClaw's own name, and `base_url` any server")),
            );
            return None;
        };
        let Some(given) = given else {
            return Some(Spanned { value: usual.choice.clone(), place: provider.place.clone() });
        };
        let other = self.known.choice(given.as_str()).is_none_or(|known| known.provider != usual.provider);
        if other {
            self.contradiction_with(
                format!("{} is not an auth choice of {}", quoted(given.as_str()), provider.value),
                given.place.clone(),
                provider.place.clone(),
                "remove one of the two",
            );
        }
        Some(given)
    }

    fn served(
        &mut self,
        raw: RawModel,
        given: Option<Spanned<AuthChoice>>,
        place: Option<Location>,
    ) -> Model {
        if let Some(provider) = raw.provider.at(self.source) {
            self.contradiction_with(
                "`model` names a provider and a server".to_owned(),
                provider.place,
                raw.base_url.place(self.source),
                "remove one of the two",
            );
        }
        if let Some(given) = given {
            self.contradiction_with(
                format!("the auth choice {} and `base_url` each name a model", quoted(given.as_str())),
                given.place,
                raw.base_url.place(self.source),
                "remove one of the two",
            );
        }
        if raw.name.is_missing() {
            self.problems.push(
                Diagnostic::error(Code::MissingKey, "the server's model has no name")
                    .at(place)
                    .help("add `name:`, as the server calls the model"),
            );
        }
        let key = raw.key.at(self.source);
        let key = key
            .and_then(|key| Some(Spanned { value: key.as_str().parse::<EnvName>().ok()?, place: key.place }));
        let (Some(base_url), Some(name)) = (raw.base_url.at(self.source), raw.name.at(self.source)) else {
            return Model::Default;
        };
        if let Some(key) = &key
            && base_url.as_str().starts_with("http://")
        {
            self.problems.push(
                Diagnostic::warning(Code::BadValue, "the key travels to this server unencrypted")
                    .at(base_url.place.clone())
                    .related(key.place.clone(), "the key")
                    .help("use an https address, unless the network between is trusted"),
            );
        }
        Model::Served { base_url, api: raw.api.get().unwrap_or(ModelApi::Openai), name, key }
    }

    fn contradiction(&mut self, message: String, place: Option<Location>, help: &str) {
        self.problems.push(Diagnostic::error(Code::Contradiction, message).at(place).help(help));
    }

    fn contradiction_with(
        &mut self,
        message: String,
        place: Option<Location>,
        other: Option<Location>,
        help: &str,
    ) {
        self.problems.push(
            Diagnostic::error(Code::Contradiction, message).at(place).related(other, "the other").help(help),
        );
    }
}

fn skip() -> Spanned<AuthChoice> {
    Spanned::default_value(SKIP.parse().expect("a well-formed choice"))
}

/// The problem of a choice: it is unknown, or needs a person. `certain` if all choices of the locked OpenClaw
/// are known.
pub(super) fn choice_problem(
    choice: &Spanned<AuthChoice>,
    known: &'static OpenClaw,
    certain: bool,
) -> Result<Option<&'static Choice>, Diagnostic> {
    if choice.as_str() == SKIP {
        return Ok(None);
    }
    let Some(found) = known.choice(choice.as_str()) else {
        let close = did_you_mean(choice.as_str(), known.choices.iter().map(|known| known.choice.as_str()));
        let close = close.filter(|_| certain);
        let hint = close.map(|meant| format!("did you mean `{meant}`? ")).unwrap_or_default();
        return Err(unknown("auth choice", choice.as_str(), certain)
            .at(choice.place.clone())
            .help(format!("{hint}docs/gateway.md lists them")));
    };
    match found.needs {
        Needs::Key(_) => Ok(Some(found)),
        Needs::Person => Err(Diagnostic::error(
            Code::NeedsTerminal,
            format!("the auth choice `{}` takes a person at a terminal or a browser", found.choice),
        )
        .at(choice.place.clone())
        .help(format!(
            "leave it out, and log in once the gateway is ready: `bake gcloud cli -- models auth login --provider {}`",
            found.provider
        ))),
        Needs::Address => Err(Diagnostic::error(
            Code::NeedsTerminal,
            format!("the auth choice `{}` takes the address of a server", found.choice),
        )
        .at(choice.place.clone())
        .help("write `model: {base_url: http://…/v1, name: …}` in its place")),
    }
}

/// That a name is not one of the locked OpenClaw's: certain, or merely not known to this release.
pub(super) fn unknown(what: &str, name: &str, certain: bool) -> Diagnostic {
    if certain {
        Diagnostic::error(Code::BadValue, format!("OpenClaw has no {what} {}", quoted(name)))
    } else {
        let message = format!("the {what} {} is not known to this release of bake", quoted(name));
        Diagnostic::warning(Code::BadValue, message)
    }
}
