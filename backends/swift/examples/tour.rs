//! Stores an object, a large one, lists both, reads them and deletes them again.
//!
//! `OS_CLOUD=mycloud cargo run --example tour CONTAINER`, or with `OS_*` or `ST_*` settings in the environment.

use std::error::Error;

use futures::{StreamExt, TryStreamExt};
use object_store::{ObjectStore, ObjectStoreExt, path::Path};
use object_store_swift::SwiftBuilder;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let container = std::env::args().nth(1).ok_or("usage: tour CONTAINER")?;
    #[expect(clippy::disallowed_methods, reason = "the example's settings come from nowhere else")]
    let settings = std::env::vars().filter(|(name, _)| name.starts_with("OS_") || name.starts_with("ST_"));
    let swift = SwiftBuilder::new(container).with_settings(settings).with_create(true).build()?;

    let small = Path::from("tour/small");
    swift.put(&small, "Hello".into()).await?;

    let large = Path::from("tour/large");
    let mut upload = swift.put_multipart(&large).await?;
    for _ in 0..2 {
        upload.put_part(vec![0; 8 << 20].into()).await?;
    }
    upload.complete().await?;

    let mut listing = swift.list(Some(&Path::from("tour")));
    while let Some(meta) = listing.try_next().await? {
        println!("{:>10}  {}", meta.size, meta.location);
    }
    println!("{:?}", swift.get(&small).await?.bytes().await?);

    let both = futures::stream::iter([small, large]).map(Ok).boxed();
    let deleted: Vec<_> = swift.delete_stream(both).try_collect().await?;
    println!("deleted {}", deleted.len());
    Ok(())
}
