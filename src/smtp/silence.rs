//! A server that waits for a TLS handshake is silent like one that is slow. This tells them apart
//! without a word on the connection whose greeting is awaited, since servers punish those who speak
//! there first: after a while it shakes hands on a connection of its own.

use super::dial::{self, Dialled, Target};
use super::tls;
use crate::api::Reason;
use crate::domain::failure::Failure;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;

/// Servers that let newcomers wait do so for less (Postfix: 6 s), or for more than anybody would.
const PATIENCE: Duration = Duration::from_secs(10);

/// Awaits `greeting`, which gives up after `limit`, unless the server turns out to speak TLS.
pub(super) async fn greeting_or_tls<T>(
    greeting: impl Future<Output = Result<T, Failure>>,
    limit: Duration,
    target: &Target,
    address: SocketAddr,
) -> Result<T, Failure> {
    let looking = async {
        sleep(PATIENCE.min(limit / 6)).await;
        speaks_tls(target, address).await
    };
    tokio::pin!(greeting, looking);
    tokio::select! {
        biased;
        greeted = &mut greeting => match greeted {
            // With a short deadline the look is still under way.
            Err(silence) if silence.reason == Reason::ReplyTimeout => {
                if looking.await { Err(Failure::tls_on_connect()) } else { Err(silence) }
            }
            greeted => greeted,
        },
        is_tls = &mut looking => {
            if is_tls { Err(Failure::tls_on_connect()) } else { greeting.await }
        }
    }
}

/// Whether the server answers a TLS handshake with TLS, be it a refusal.
async fn speaks_tls(target: &Target, address: SocketAddr) -> bool {
    let Ok(Dialled { transport, surplus, .. }) = dial::dial(target, &[address]).await else { return false };
    let handshake =
        TlsConnector::from(target.tls_config.clone()).connect(target.server_name.clone(), transport);
    match timeout(target.deadlines.tls, handshake).await {
        Ok(Ok(_)) => surplus.is_empty(),
        Ok(Err(error)) => tls::failure(&error, None).is_some_and(|failure| failure.reason != Reason::NotTLS),
        Err(_) => false,
    }
}
