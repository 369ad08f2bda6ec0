//! The values of a Notification against the variables of its template: everything missing, unknown or
//! of the wrong type is found at once, then defaults are filled in and what each recipient gets is
//! known. No text is rendered here.

mod sourced;
mod types;

pub(super) use types::check_url;

use crate::api::message_template::{Variable, VariableType};
use crate::api::shared::Values;
use crate::domain::likeness::nearest;
use crate::domain::problem::Problem;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use std::collections::BTreeMap;

/// How much one recipient's values may weigh, in octets of text and 8 for each member. More than any
/// message needs, and little enough for what etcd, the template engine's fuel and mail servers take.
const MAX_OCTETS: usize = 256 * 1024;

/// How deep lists and objects may nest.
const MAX_DEPTH: usize = 16;

/// The variables of a template, with defaults and examples known to be of their types.
#[derive(Debug, Clone)]
pub struct Variables(BTreeMap<String, Declared>);

#[derive(Debug, Clone)]
struct Declared {
    type_: VariableType,
    required: bool,
    default: Option<Json>,
    example: Option<Json>,
}

/// What names mean while a text is rendered.
pub(super) type Scope = BTreeMap<String, Json>;

/// Values that fit the variables, for all recipients of a Notification.
#[derive(Clone)]
pub struct CheckedValues {
    common: Scope,
    own: BTreeMap<String, Scope>,
}

/// Without the values, of which some may stand in a Secret.
impl std::fmt::Debug for CheckedValues {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<_> = self.common.keys().collect();
        f.debug_struct("CheckedValues").field("names", &names).finish_non_exhaustive()
    }
}

/// One recipient's values: his own, else the common ones, else the defaults, else empty ones.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RecipientValues(pub(super) Scope);

impl Variables {
    /// Checks defaults and examples. Fields of problems are `variables[name].default` and `.example`.
    pub fn new(variables: &[Variable]) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let declared = variables.iter().map(|variable| {
            let mut fitting = |value: &Option<Json>, what| {
                let json = value.as_ref().filter(|json| !json.is_null())?;
                let field = format!("variables[{}].{what}", variable.name);
                fit(variable.type_, json, field, &mut problems)
            };
            let declared = Declared {
                type_: variable.type_,
                required: variable.required,
                default: fitting(&variable.default, "default"),
                example: fitting(&variable.example, "example"),
            };
            (variable.name.clone(), declared)
        });
        let variables = Self(declared.collect());
        if problems.is_empty() { Ok(variables) } else { Err(problems) }
    }

    /// Checks a Notification's values: the common ones and, by address, those of each recipient.
    ///
    /// Fields of problems are `message.values.name`, or `to[address].values.name` where it is about
    /// one recipient. A value that is `null` counts as not given.
    pub fn check(
        &self,
        common: Option<&Values>,
        recipients: &[(&str, Option<&Values>)],
    ) -> Result<CheckedValues, Vec<Problem>> {
        let mut problems = Vec::new();
        let (common_given, common_octets) = self.scope(common, 0, "message.values", &mut problems);
        let mut own = BTreeMap::new();
        for (address, values) in recipients {
            let field = format!("to[{address}].values");
            let (scope, _) = self.scope(*values, common_octets, &field, &mut problems);
            own.insert((*address).to_owned(), scope);
        }
        self.missing(common, recipients, &mut problems);
        if problems.is_empty() {
            let mut common = self.absent();
            common.extend(common_given);
            Ok(CheckedValues { common, own })
        } else {
            Err(problems)
        }
    }

    /// The values that a preview shows: those given, checked as a Notification's are, and examples for the others.
    pub fn sample(&self, given: &Values) -> Result<RecipientValues, Vec<Problem>> {
        let mut problems = Vec::new();
        let (given, _) = self.scope(Some(given), 0, "values", &mut problems);
        let RecipientValues(mut values) = self.examples();
        values.extend(given);
        if problems.is_empty() { Ok(RecipientValues(values)) } else { Err(problems) }
    }

    /// A text that somebody typed, as a value of the variable's type.
    pub fn read(&self, name: &str, text: &str) -> Json {
        let type_ = self.0.get(name).map(|declared| declared.type_).unwrap_or_default();
        read(type_, text)
    }

    /// The given values of known names and right types, and the weight of all, `before` included.
    fn scope(
        &self,
        values: Option<&Values>,
        before: usize,
        field: &str,
        problems: &mut Vec<Problem>,
    ) -> (Scope, usize) {
        let mut scope = Scope::new();
        let mut octets = before;
        for (name, json) in given(values) {
            octets = octets.saturating_add(name.len()).saturating_add(types::weight(json));
            let field = format!("{field}.{name}");
            let Some(declared) = self.0.get(name) else {
                problems.push(Problem::new(field, self.unknown(name)));
                continue;
            };
            if let Some(value) = fit(declared.type_, json, field, problems) {
                scope.insert(name.clone(), value);
            }
        }
        if octets > MAX_OCTETS && values.is_some() {
            let message = format!(
                "too much: the values of one recipient are {octets} octets, at most {MAX_OCTETS} are possible"
            );
            problems.push(Problem::new(field, message));
        }
        (scope, octets)
    }

    /// Required values that some recipients lack. Lacking for all it is one problem of the message.
    fn missing(
        &self,
        common: Option<&Values>,
        recipients: &[(&str, Option<&Values>)],
        problems: &mut Vec<Problem>,
    ) {
        let has = |values: Option<&Values>, name: &str| given(values).any(|(given, _)| given == name);
        for (name, declared) in self.0.iter().filter(|(_, declared)| declared.required) {
            if has(common, name) {
                continue;
            }
            let lacking: Vec<_> = recipients.iter().filter(|(_, own)| !has(*own, name)).collect();
            let message = format!("is missing: the template needs {}", types::expected(declared.type_));
            if lacking.len() == recipients.len() {
                problems.push(Problem::new(format!("message.values.{name}"), message));
            } else {
                problems.extend(
                    lacking
                        .iter()
                        .map(|(address, _)| Problem::new(format!("to[{address}].values.{name}"), &message)),
                );
            }
        }
    }

    pub(super) fn unknown(&self, name: &str) -> String {
        if let Some(word) = self.yaml_boolean(name) {
            return format!(
                "is unknown to the template; did you mean {word}? YAML reads {word} without quotes as {name}: write \"{word}\""
            );
        }
        match nearest(name, self.names()) {
            Some(known) => format!("is unknown to the template; did you mean {known}?"),
            None if self.0.is_empty() => "is unknown: the template declares no variables".into(),
            None => {
                let known: Vec<_> = self.names().take(20).collect();
                let more = if self.0.len() > known.len() { ", ..." } else { "" };
                format!("is unknown to the template, which declares {}{more}", known.join(", "))
            }
        }
    }

    /// The declared name that kubectl's YAML 1.1 turned into the key `true` or `false`.
    fn yaml_boolean(&self, key: &str) -> Option<&str> {
        let words: &[_] = match key {
            "true" => &["y", "yes", "on"],
            "false" => &["n", "no", "off"],
            _ => return None,
        };
        self.names().find(|name| words.contains(&name.to_ascii_lowercase().as_str()))
    }

    /// The declared names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Whether a text may use the name.
    pub(super) fn declares(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// The type that a name was declared with.
    pub(super) fn type_of(&self, name: &str) -> Option<VariableType> {
        self.0.get(name).map(|declared| declared.type_)
    }

    /// Objects and lists without an example: their members are not known when a template is checked.
    pub(super) fn without_example(&self) -> Vec<&str> {
        let structured = |d: &Declared| matches!(d.type_, VariableType::List | VariableType::Object);
        self.0
            .iter()
            .filter(|(_, d)| structured(d) && d.example.is_none() && d.default.is_none())
            .map(|(name, _)| name.as_str())
            .collect()
    }

    /// Every variable with its example, or a sensible value of its type.
    pub(super) fn examples(&self) -> RecipientValues {
        RecipientValues(self.each(Declared::shown))
    }

    /// The same, but optional variables are absent: what the barest valid Notification gives.
    pub(super) fn bare_examples(&self) -> RecipientValues {
        RecipientValues(self.each(
            |declared| {
                if declared.required { declared.shown() } else { declared.when_absent() }
            },
        ))
    }

    fn absent(&self) -> Scope {
        self.each(Declared::when_absent)
    }

    fn each(&self, value: impl Fn(&Declared) -> Json) -> Scope {
        self.0.iter().map(|(name, declared)| (name.clone(), value(declared))).collect()
    }
}

impl Declared {
    fn shown(&self) -> Json {
        let example = self.example.clone().or_else(|| self.default.clone());
        example.unwrap_or_else(|| types::example(self.type_))
    }

    fn when_absent(&self) -> Json {
        self.default.clone().unwrap_or_else(|| types::empty(self.type_))
    }
}

impl CheckedValues {
    /// What the recipient with this address, as `check` was given it, gets.
    pub fn of(&self, address: &str) -> RecipientValues {
        let mut values = self.common.clone();
        if let Some(own) = self.own.get(address) {
            values.extend(own.iter().map(|(name, value)| (name.clone(), value.clone())));
        }
        RecipientValues(values)
    }
}

/// A text that somebody typed, as a value of the type. What does not fit stays text, and the check says what would be
/// right.
pub fn read(type_: VariableType, text: &str) -> Json {
    types::read(type_, text).unwrap_or_else(|| text.into())
}

fn given(values: Option<&Values>) -> impl Iterator<Item = (&String, &Json)> {
    values.into_iter().flatten().filter(|(_, json)| !json.is_null())
}

/// A member that is `null` is as if it were not there, as a variable is: `kubectl apply` leaves both out, so that the same
/// file would otherwise say different things. An item of a list keeps its place, and is empty.
fn without_nulls(json: &Json) -> Json {
    match json {
        Json::Object(members) => {
            let members = members.iter().filter(|(_, member)| !member.is_null());
            Json::Object(members.map(|(name, member)| (name.clone(), without_nulls(member))).collect())
        }
        Json::Array(items) => {
            let item = |item: &Json| if item.is_null() { "".into() } else { without_nulls(item) };
            Json::Array(items.iter().map(item).collect())
        }
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => json.clone(),
    }
}

fn fit(type_: VariableType, json: &Json, field: String, problems: &mut Vec<Problem>) -> Option<Json> {
    match types::check(type_, json) {
        Ok(()) => Some(without_nulls(json)),
        Err(message) => {
            problems.push(Problem::new(field, message));
            None
        }
    }
}

#[cfg(test)]
mod tests;
