//! `rewind-serve`: serves the page, and a demonstration with it.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context;
use clap::Parser;

/// Serves the page that segments scans in the browser. Scans stay in the browser: nothing is
/// uploaded, here or elsewhere. Research use only, not a medical device.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// The folder of the page, as `cargo xtask page` makes it.
    #[arg(long, value_name = "DIR")]
    page: PathBuf,
    /// A folder with a demonstration: manifest.json, a model bundle and a case.
    #[arg(long, value_name = "DIR")]
    demo: Option<PathBuf>,
    /// The address and port to listen on; 127.0.0.1 is reached from this machine only.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Args { page, demo, listen } = Args::parse();
    let router = web_viewer::server::router(&page, demo.as_deref())?;
    let listener = tokio::net::TcpListener::bind(listen).await;
    let listener = listener.map_err(|error| match error.kind() {
        ErrorKind::AddrInUse => anyhow::anyhow!(
            "{listen} is in use by another program: end that one, or choose another port with \
             --listen {}:{}",
            listen.ip(),
            listen.port().wrapping_add(1).max(1024),
        ),
        _ => anyhow::Error::from(error).context(format!("cannot listen on {listen}")),
    })?;
    let address = listener.local_addr().context("the listening address")?;
    println!("Rewind is at http://{address}/ (Ctrl-C ends it)");
    println!("Research use only, not a medical device.");
    let ended = async {
        // Without a handler there is nothing to wait for: the default action ends the process.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        served = axum::serve(listener, router) => served.context("serving"),
        () = ended => Ok(()),
    }
}
