//! Lists the objects of a container whose names begin with a path, with their sizes and times.
//!
//! `OS_CLOUD=mycloud cargo run --example list CONTAINER [PATH]`, or with `OS_*` or `ST_*` settings in the environment.

use std::error::Error;

use futures::TryStreamExt;
use object_store::{ObjectStore, path::Path};
use object_store_swift::SwiftBuilder;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let container = arguments.next().ok_or("usage: list CONTAINER [PATH]")?;
    let prefix = arguments.next().map(Path::parse).transpose()?;
    #[expect(clippy::disallowed_methods, reason = "the example's settings come from nowhere else")]
    let settings = std::env::vars().filter(|(name, _)| name.starts_with("OS_") || name.starts_with("ST_"));
    let swift = SwiftBuilder::new(container).with_settings(settings).build()?;

    // Pages are requested as the stream is read.
    let mut listing = swift.list(prefix.as_ref());
    while let Some(meta) = listing.try_next().await? {
        println!("{:>12}  {}  {}", meta.size, meta.last_modified.to_rfc3339(), meta.location);
    }
    Ok(())
}
