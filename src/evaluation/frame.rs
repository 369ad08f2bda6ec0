//! What goes through the pipes: four octets of length (little-endian), then MessagePack: no text has to be escaped, and read again,
//! for each message.

use crate::domain::evaluation::{Answer, Question};
use crate::domain::template::{Sources, Stage};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::io::{self, Read, Write};

/// Largest frame, in octets. A template with eight layouts, each as large as an object can be, is 15 MB.
const MAX: usize = 64 << 20;

/// To a child process.
#[derive(Serialize)]
pub(super) struct Request<'a> {
    pub question: &'a Question,
    /// What it takes to compile the template of the question, if it is not compiled there yet.
    pub sources: Option<&'a Sources>,
    /// Whether each step is to be reported.
    pub step_by_step: bool,
}

/// The same as it arrives.
#[derive(Deserialize)]
pub(super) struct Received {
    pub question: Question,
    pub sources: Option<Sources>,
    pub step_by_step: bool,
}

/// From a child process.
#[derive(Serialize, Deserialize)]
pub(super) enum Said {
    /// It begins to work on this text.
    Step(Stage),
    /// It is done.
    Done(Answer),
}

/// A frame, ready to be written.
pub(super) fn encode(content: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut frame = vec![0; 4];
    rmp_serde::encode::write_named(&mut frame, content).map_err(io::Error::other)?;
    let length = u32::try_from(frame.len() - 4).ok().filter(|length| *length as usize <= MAX);
    let length = length.ok_or_else(|| io::Error::other("too large to be evaluated"))?;
    if let Some(head) = frame.first_chunk_mut() {
        *head = length.to_le_bytes();
    }
    Ok(frame)
}

/// The length of the frame that begins so.
pub(super) fn length(head: [u8; 4]) -> io::Result<usize> {
    let length = u32::from_le_bytes(head) as usize;
    if length <= MAX { Ok(length) } else { Err(io::Error::other("a frame is too large")) }
}

/// The content of a frame.
pub(super) fn decode<T: DeserializeOwned>(body: &[u8]) -> io::Result<T> {
    rmp_serde::from_slice(body).map_err(io::Error::other)
}

/// Writes a frame.
pub(super) fn write(out: &mut impl Write, content: &impl Serialize) -> io::Result<()> {
    out.write_all(&encode(content)?)?;
    out.flush()
}

/// Reads a frame; `None` at the end.
pub(super) fn read<T: DeserializeOwned>(from: &mut impl Read) -> io::Result<Option<T>> {
    let mut head = [0; 4];
    match from.read_exact(&mut head) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    let mut body = vec![0; length(head)?];
    from.read_exact(&mut body)?;
    decode(&body).map(Some)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use serde_json::json;

    /// Values of every type and size mean the same on the other side.
    #[test]
    fn questions_arrive_as_they_were() {
        let values = json!({
            "text": "Grüße \u{1F4E7} \"quoted\" \\ \t", "none": null, "yes": true, "no": false,
            "numbers": [0, -1, i64::MIN, i64::MAX, u64::MAX, 1.5, -0.0, 1e300, 0.1],
            "deep": [[[[{ "a": { "b": [] } }]]]], "long": "x".repeat(100_000),
        });
        let pair = ["a", "b"];
        let question = json!({ "Render": {
            "template": vec![7; 32], "locales": ["de-CH", "en"], "values": values,
            "names": { "recipient": pair, "sender": pair, "notification": pair }
        } });
        let question: Question = serde_json::from_value(question).unwrap();
        let request = Request { question: &question, sources: None, step_by_step: false };
        let mut bytes = Vec::new();
        write(&mut bytes, &request).unwrap();
        let received: Received = read(&mut bytes.as_slice()).unwrap().unwrap();
        assert_eq!(received.question, question);
        assert!(read::<Received>(&mut io::empty()).unwrap().is_none());
        for cut in [1, 4, bytes.len() / 2, bytes.len() - 1] {
            assert!(
                read::<Received>(&mut bytes.get(..cut).unwrap()).is_ok_and(|read| read.is_none())
                    == (cut < 4)
            );
        }
        assert!(length(u32::MAX.to_le_bytes()).is_err());
    }
}
