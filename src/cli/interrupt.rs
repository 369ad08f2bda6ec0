//! Ctrl-C while something is followed: the first one ends the command in good order, with a word about what goes on
//! without it.

use tokio_util::sync::CancellationToken;

/// Waits for Ctrl-C from its creation on. Dropping it does not bring the default back: the process is near its end.
pub struct Interrupt(CancellationToken);

impl Interrupt {
    /// From now on Ctrl-C does not kill.
    pub async fn arm() -> Self {
        let token = CancellationToken::new();
        let signal = token.clone();
        let (armed, ready) = tokio::sync::oneshot::channel();
        tokio::spawn(async move {
            let mut ctrl_c = std::pin::pin!(tokio::signal::ctrl_c());
            // The first look registers the handler.
            if futures::poll!(&mut ctrl_c).is_ready() {
                signal.cancel();
            }
            let _ = armed.send(());
            if ctrl_c.await.is_ok() {
                signal.cancel();
            }
        });
        let _ = ready.await;
        Self(token)
    }

    /// Waits for Ctrl-C.
    pub async fn pressed(&self) {
        self.0.cancelled().await;
    }
}
