//! The two byte streams of a session: commands collected and written at once, replies read into a
//! bounded buffer, each wait under a deadline. Knows no step of SMTP; whoever sees an error here
//! must not use the wire again.

use super::protocol::{RawReply, Scanner, Violation};
use super::tls;
use super::transport::Transport;
use crate::domain::failure::{Failure, Phase};
use crate::domain::masking::Mask;
use rustls::pki_types::ServerName;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;

/// Room for what is read at once; nearly every reply fits.
const READ: usize = 2 * 1024;

/// A connection with its buffers.
pub(super) struct Wire {
    stream: Stream,
    /// Bytes read and not yet consumed start at `consumed`.
    input: Vec<u8>,
    consumed: usize,
    /// What [`Wire::send`] will write.
    pub(super) output: Vec<u8>,
    /// How much of `output` the last [`Wire::send`] handed over, if it failed.
    handed_over: usize,
    alarm: Alarm,
    /// What no reply may show.
    pub(super) mask: Mask,
}

/// In the clear (left), or over TLS (right).
type Stream = Either<Transport, Box<TlsStream<Transport>>>;

impl Wire {
    /// `input` has already been read.
    pub(super) fn new(transport: Transport, mut input: Vec<u8>) -> Self {
        input.reserve(2 * READ);
        Self {
            stream: Either::Left(transport),
            input,
            consumed: 0,
            output: Vec::with_capacity(2 * READ),
            handed_over: 0,
            alarm: Alarm(Box::pin(sleep(Duration::ZERO))),
            mask: Mask::default(),
        }
    }

    /// Reads one complete reply within `limit`.
    pub(super) async fn reply(&mut self, phase: Phase, limit: Duration) -> Result<RawReply<'_>, Failure> {
        let deadline = Instant::now() + limit;
        let mut scanner = Scanner::default();
        let (code, length) = loop {
            match scanner.scan(self.unread()) {
                Ok(Some(found)) => break found,
                Ok(None) => {}
                Err(Violation::Tls) if phase == Phase::Greeting && !self.is_secured() => {
                    return Err(Failure::tls_on_connect());
                }
                Err(violation) => return Err(Failure::protocol_violation(phase, &violation.to_string())),
            }
            let Self { stream, input, consumed, alarm, .. } = self;
            match alarm.within(deadline, fill(stream, input, consumed)).await {
                Some(Ok(0)) => return Err(Failure::closed(phase)),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(failure(phase, &error)),
                None => return Err(Failure::reply_timeout(phase, limit)),
            }
        };
        let start = self.consumed;
        self.consumed += length;
        let bytes = self.input.get(start..self.consumed).unwrap_or_default();
        Ok(RawReply { code, bytes, mask: &self.mask })
    }

    /// Writes all of `output` within `limit` and empties it. An answer that is there before its
    /// question belongs to another one: believed, it would shift all that follow by one.
    pub(super) async fn send(&mut self, phase: Phase, limit: Duration) -> Result<(), Failure> {
        let deadline = Instant::now() + limit;
        self.handed_over = 0;
        if self.has_early_answer() {
            return Err(Failure::early_answer(phase));
        }
        let Self { stream, output, handed_over, alarm, .. } = self;
        let write = async {
            while let Some(rest) = output.get(*handed_over..).filter(|rest| !rest.is_empty()) {
                match stream.write(rest).await? {
                    0 => return Err(io::ErrorKind::WriteZero.into()),
                    written => *handed_over += written,
                }
            }
            stream.flush().await
        };
        match alarm.within(deadline, write).await {
            Some(Ok(())) => {
                self.output.clear();
                Ok(())
            }
            Some(Err(error)) => Err(failure(phase, &error)),
            None => Err(Failure::reply_timeout(phase, limit)),
        }
    }

    /// After a failed [`Wire::send`]: whether its last byte may have reached the other side. What the
    /// stream did not even accept certainly has not.
    pub(super) fn may_have_sent_all(&self) -> bool {
        self.handed_over >= self.output.len()
    }

    /// Whether something lies in the input that nobody has asked for.
    pub(super) fn has_unread(&self) -> bool {
        !self.unread().is_empty()
    }

    /// Whether an answer lies in the input that nobody has asked for. 421 may come at any time: it is
    /// the answer to whatever is said next.
    pub(super) fn has_early_answer(&self) -> bool {
        self.has_unread() && !self.unread().starts_with(b"421")
    }

    /// Whether an idle server has said something or gone: it said goodbye, and a command sent now
    /// would be lost. Does not wait.
    pub(super) fn has_ended(&mut self) -> bool {
        if self.has_unread() {
            return true;
        }
        let mut byte = [0; 1];
        let mut buffer = ReadBuf::new(&mut byte);
        // With nothing to read no task needs to be woken: the next read registers itself.
        let mut context = Context::from_waker(Waker::noop());
        Pin::new(&mut self.stream).poll_read(&mut context, &mut buffer).is_ready()
    }

    /// Turns the plain connection into a TLS one. Nothing may be unread: whatever came in the clear
    /// behind the STARTTLS answer could be from anybody.
    pub(super) async fn secure(
        self,
        config: Arc<rustls::ClientConfig>,
        name: ServerName<'static>,
        limit: Duration,
    ) -> Result<(Self, tls::TlsInfo), Failure> {
        if self.has_unread() {
            let what = "bytes came between the answer to STARTTLS and the handshake";
            return Err(Failure::protocol_violation(Phase::StartTls, what));
        }
        let Either::Left(stream) = self.stream else {
            return Err(Failure::protocol_violation(Phase::Tls, "TLS was started twice"));
        };
        let handshake = TlsConnector::from(config).connect(name.clone(), stream);
        let stream = match tokio::time::timeout(limit, handshake).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                return Err(tls::failure(&error, Some(&name)).unwrap_or_else(|| failure(Phase::Tls, &error)));
            }
            Err(_) => return Err(Failure::reply_timeout(Phase::Tls, limit)),
        };
        let info = tls::TlsInfo::of(stream.get_ref().1);
        info.check(jiff::Timestamp::now())?;
        Ok((Self { stream: Either::Right(Box::new(stream)), ..self }, info))
    }

    /// The TLS connection, if it is one.
    pub(super) fn tls(&self) -> Option<&rustls::ClientConnection> {
        match &self.stream {
            Either::Left(_) => None,
            Either::Right(stream) => Some(stream.get_ref().1),
        }
    }

    /// Whether nobody between the two ends can read or change anything.
    pub(super) const fn is_secured(&self) -> bool {
        matches!(self.stream, Either::Right(_))
    }

    /// Closes in the orderly way, with TLS' goodbye.
    pub(super) async fn shut_down(&mut self, limit: Duration) {
        // Whether the other side hears it is its own affair.
        drop(tokio::time::timeout(limit, self.stream.shutdown()).await);
    }

    fn unread(&self) -> &[u8] {
        self.input.get(self.consumed..).unwrap_or_default()
    }
}

async fn fill(stream: &mut Stream, input: &mut Vec<u8>, consumed: &mut usize) -> io::Result<usize> {
    if *consumed > 0 {
        input.drain(..*consumed);
        *consumed = 0;
    }
    // Also keeps the buffer from growing beyond what a reply may have: the scanner stops first.
    input.reserve(READ);
    stream.read_buf(input).await
}

/// The timer of all waits on a wire. Replies come thousands of times sooner than their deadlines, and a
/// timer set and taken back for each would cost more than reading it, so one that goes off too early
/// is left as it is, and set anew when it does.
struct Alarm(Pin<Box<Sleep>>);

impl Alarm {
    /// Waits for `work`, but only until `deadline`; then `None`.
    async fn within<T>(&mut self, deadline: Instant, work: impl Future<Output = T>) -> Option<T> {
        let mut work = pin!(work);
        poll_fn(|context| {
            if let Poll::Ready(done) = work.as_mut().poll(context) {
                return Poll::Ready(Some(done));
            }
            if self.0.deadline() > deadline {
                self.0.as_mut().reset(deadline);
            }
            while self.0.as_mut().poll(context).is_ready() {
                if Instant::now() >= deadline {
                    return Poll::Ready(None);
                }
                self.0.as_mut().reset(deadline);
            }
            Poll::Pending
        })
        .await
    }
}

/// What an I/O error means at `phase`. TLS errors can come late: with TLS 1.3 a server refuses our
/// client certificate only after the handshake.
fn failure(phase: Phase, error: &io::Error) -> Failure {
    match tls::failure(error, None) {
        Some(mut failure) => {
            failure.phase = phase;
            failure
        }
        None => Failure::closed(phase),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::pending;

    #[tokio::test(start_paused = true)]
    async fn each_wait_has_its_own_deadline_whatever_the_one_before_it_had() {
        let mut alarm = Alarm(Box::pin(sleep(Duration::ZERO)));
        for (before, limit) in [(60, 600), (600, 1), (1, 60), (60, 60), (600, 5)] {
            let [before, limit] = [before, limit].map(Duration::from_secs);
            // Over long before its deadline, for which the alarm stays set.
            let short = sleep(Duration::from_millis(1));
            assert_eq!(alarm.within(Instant::now() + before, short).await, Some(()));
            let start = Instant::now();
            assert_eq!(alarm.within(start + limit, pending::<()>()).await, None);
            let late = start.elapsed().saturating_sub(limit);
            assert!(start.elapsed() >= limit && late < Duration::from_millis(10), "{:?}", start.elapsed());
        }
    }
}
