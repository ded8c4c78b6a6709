//! Copies the files of a local directory, and of all directories in it, to a container.
//!
//! `OS_CLOUD=mycloud cargo run --example copy_directory DIRECTORY CONTAINER [PATH]`, or with `OS_*` or `ST_*` settings in
//! the environment. The names of the objects begin with `PATH`.

use std::{error::Error, sync::Arc};

use futures::{StreamExt, TryStreamExt};
use object_store::{ObjectStore, ObjectStoreExt, buffered::BufWriter, local::LocalFileSystem, path::Path};
use object_store_swift::{Swift, SwiftBuilder};
use tokio::io::AsyncWriteExt;

/// How many files are copied at a time.
const AT_ONCE: usize = 8;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments.next().ok_or("usage: copy_directory DIRECTORY CONTAINER [PATH]")?;
    let container = arguments.next().ok_or("usage: copy_directory DIRECTORY CONTAINER [PATH]")?;
    let target = Path::parse(arguments.next().unwrap_or_default())?;
    #[expect(clippy::disallowed_methods, reason = "the example's settings come from nowhere else")]
    let settings = std::env::vars().filter(|(name, _)| name.starts_with("OS_") || name.starts_with("ST_"));
    let swift = SwiftBuilder::new(container).with_settings(settings).with_create(true).build()?;

    let source = LocalFileSystem::new_with_prefix(directory)?;
    let files = source.list(None).err_into::<Box<dyn Error>>();
    let copies = files.map_ok(|file| {
        let to = Path::from_iter(target.parts().chain(file.location.parts()));
        copy(&source, file.location, &swift, to)
    });
    let copied: Vec<()> = copies.try_buffer_unordered(AT_ONCE).try_collect().await?;
    println!("copied {} files", copied.len());
    Ok(())
}

/// Copies a file without ever holding all of it. A short one becomes a plain object, a long one a large object.
async fn copy(source: &LocalFileSystem, from: Path, swift: &Swift, to: Path) -> Result<(), Box<dyn Error>> {
    let mut body = source.get(&from).await?.into_stream();
    let mut writer = BufWriter::new(Arc::new(swift.clone()), to);
    while let Some(chunk) = body.next().await {
        match chunk {
            Ok(chunk) => writer.put(chunk).await?,
            Err(error) => {
                writer.abort().await?;
                return Err(error.into());
            }
        }
    }
    Ok(writer.shutdown().await?)
}
