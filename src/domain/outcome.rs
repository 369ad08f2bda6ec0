//! What became of one recipient in one attempt. Kept small and serialisable: it travels through the
//! journal into the status.

use crate::api::Reason;
use crate::domain::failure::{EnhancedCode, Failure, Permanence, Reply};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What became of one recipient.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// The address as it stands in the spec.
    pub address: String,
    /// What the server said, or that it is not known.
    pub verdict: Verdict,
    /// Message-ID of the message that was sent or tried.
    #[serde(default, rename = "messageID", skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    /// SMTP reply code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<u16>,
    /// Enhanced status code, `5.1.1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enhanced_code: Option<String>,
    /// Why, as a word of [`Reason`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Why, as a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// When.
    pub time: Timestamp,
    /// Earlier attempts whose answer was lost, so that this one may be a further copy. Counted from the status that this
    /// attempt began with, so that storing an outcome twice counts once.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub doubts: i32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_zero(count: &i32) -> bool {
    *count == 0
}

/// The gist of an outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Verdict {
    /// The server took responsibility for the message.
    Accepted,
    /// It never will.
    Refused,
    /// Not now.
    Deferred,
    /// The message was sent and the answer was lost.
    InDoubt,
}

impl Outcome {
    /// The server took the message.
    pub fn accepted(address: &str, message_id: &str, reply: &Reply, time: Timestamp) -> Self {
        Self {
            address: address.into(),
            verdict: Verdict::Accepted,
            message_id: Some(message_id.into()),
            code: Some(reply.code),
            enhanced_code: reply.enhanced.map(|code: EnhancedCode| code.to_string()),
            reason: None,
            message: None,
            time,
            doubts: 0,
        }
    }

    /// The server, or the way to it, refused.
    pub fn failed(address: &str, message_id: &str, failure: &Failure, time: Timestamp) -> Self {
        let verdict = match failure.permanence {
            Permanence::Permanent => Verdict::Refused,
            Permanence::Temporary | Permanence::UntilChanged => Verdict::Deferred,
        };
        Self {
            address: address.into(),
            verdict,
            message_id: Some(message_id.into()),
            code: failure.reply.as_ref().map(|reply| reply.code),
            enhanced_code: failure
                .reply
                .as_ref()
                .and_then(|reply| reply.enhanced)
                .map(|code| code.to_string()),
            reason: Some(failure.reason.as_str().into()),
            message: Some(failure.detail.clone()),
            time,
            doubts: 0,
        }
    }

    /// It cannot be built for this recipient; the server was not asked.
    pub fn unsendable(address: &str, reason: Reason, message: &str, time: Timestamp) -> Self {
        Self {
            address: address.into(),
            verdict: Verdict::Refused,
            message_id: None,
            code: None,
            enhanced_code: None,
            reason: Some(reason.as_str().into()),
            message: Some(message.into()),
            time,
            doubts: 0,
        }
    }

    /// A person says that it was sent.
    pub fn resolved(address: &str, time: Timestamp) -> Self {
        Self {
            address: address.into(),
            verdict: Verdict::Accepted,
            message_id: None,
            code: None,
            enhanced_code: None,
            reason: Some(Reason::ResolvedAsSent.as_str().into()),
            message: Some("marked as sent by a person".into()),
            time,
            doubts: 0,
        }
    }

    /// The answer was lost; `why` says how.
    pub fn in_doubt(address: &str, message_id: Option<&str>, why: &str, time: Timestamp) -> Self {
        Self {
            address: address.into(),
            verdict: Verdict::InDoubt,
            message_id: message_id.map(Into::into),
            code: None,
            enhanced_code: None,
            reason: Some(Reason::AnswerLost.as_str().into()),
            message: Some(why.into()),
            time,
            doubts: 0,
        }
    }
}
