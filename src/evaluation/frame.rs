//! What goes through the pipes: four octets of length (little-endian), then JSON.

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
    serde_json::to_writer(&mut frame, content)?;
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
    Ok(serde_json::from_slice(body)?)
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
