//! The connections of operators: only so many at once, and none on which nothing moves. Each takes a file of
//! those that the process may have open, and strangers can connect too.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep};

/// Connections at once; who comes then waits for a place.
pub const CONNECTIONS_MAX: usize = 64;

/// A connection that nothing is read from or written to for so long is closed. Every request is answered
/// sooner.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// A listener whose connections are bounded.
pub struct Operators<L> {
    listener: L,
    places: Arc<Semaphore>,
    silence_max: Duration,
}

impl<L: Listener> Operators<L> {
    /// At most so many connections at once.
    pub fn new(listener: L, connections_max: usize) -> Operators<L> {
        Operators {
            listener,
            places: Arc::new(Semaphore::new(connections_max)),
            silence_max: SILENCE_MAX,
        }
    }
}

impl<L: Listener> Listener for Operators<L> {
    type Io = Connection<L::Io>;
    type Addr = L::Addr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        let place = self.places.clone().acquire_owned().await;
        let (stream, address) = self.listener.accept().await;
        let connection = Connection {
            stream,
            silence_max: self.silence_max,
            silence: Box::pin(sleep(self.silence_max)),
            _place: place.expect("never closed"),
        };
        (connection, address)
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

/// A connection with its place.
pub struct Connection<S> {
    stream: S,
    silence_max: Duration,
    silence: Pin<Box<Sleep>>,
    _place: OwnedSemaphorePermit,
}

impl<S: Unpin> Connection<S> {
    /// What came of the stream; an error of kind `TimedOut` when nothing has for long.
    fn moved<T>(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        step: impl FnOnce(Pin<&mut S>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let this = self.get_mut();
        let moved = step(Pin::new(&mut this.stream), context);
        if moved.is_ready() {
            this.silence
                .as_mut()
                .reset(Instant::now() + this.silence_max);
            return moved;
        }
        ready!(this.silence.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Connection<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        to: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.moved(context, |stream, context| stream.poll_read(context, to))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Connection<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.moved(context, |stream, context| stream.poll_write(context, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.moved(context, |stream, context| stream.poll_flush(context))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.moved(context, |stream, context| stream.poll_shutdown(context))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio::time::timeout;

    use super::*;

    /// Connections whose other ends are kept.
    #[derive(Default)]
    struct Model(Vec<DuplexStream>);

    impl Listener for Model {
        type Io = DuplexStream;
        type Addr = ();

        async fn accept(&mut self) -> (DuplexStream, ()) {
            let (ours, theirs) = duplex(16);
            self.0.push(theirs);
            (ours, ())
        }

        fn local_addr(&self) -> io::Result<()> {
            Ok(())
        }
    }

    const SILENCE: Duration = Duration::from_millis(50);

    fn operators(connections_max: usize) -> Operators<Model> {
        Operators {
            silence_max: SILENCE,
            ..Operators::new(Model::default(), connections_max)
        }
    }

    #[tokio::test]
    async fn who_comes_beyond_the_bound_waits_for_a_place() {
        let mut operators = operators(2);
        let (first, ()) = operators.accept().await;
        let _second = operators.accept().await;
        assert!(timeout(SILENCE, operators.accept()).await.is_err());
        drop(first);
        operators.accept().await;
    }

    #[tokio::test]
    async fn connection_is_closed_when_nothing_moves_on_it() {
        let mut operators = operators(1);
        let (mut connection, ()) = operators.accept().await;
        let mut byte = [0];
        let peer = &mut operators.listener.0[0];
        let begin = Instant::now();
        for _ in 0..4 {
            sleep(SILENCE * 2 / 3).await;
            peer.write_all(&[7]).await.expect("taken");
            connection.read_exact(&mut byte).await.expect("it is alive");
        }
        let last = Instant::now();
        assert!(last - begin > SILENCE * 2);
        let error = connection.read_exact(&mut byte).await.expect_err("silence");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(last.elapsed() >= SILENCE);
    }

    #[tokio::test]
    async fn who_does_not_read_an_answer_is_not_waited_for() {
        let mut operators = operators(1);
        let (mut connection, ()) = operators.accept().await;
        let error = connection.write_all(&[0; 17]).await.expect_err("silence");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
