//! Prints a URL with which anybody can read an object during the next hour, without credentials.
//!
//! The account's key must have been set before: `swift post -m "Temp-URL-Key:$TEMP_URL_KEY"`. Then
//! `OS_CLOUD=mycloud TEMP_URL_KEY=… cargo run --example presigned CONTAINER OBJECT`, or with `OS_*` or `ST_*` settings in
//! the environment.

use std::{error::Error, time::Duration};

use http::Method;
use object_store::{path::Path, signer::Signer};
use object_store_swift::SwiftBuilder;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let container = arguments.next().ok_or("usage: presigned CONTAINER OBJECT")?;
    let location = Path::parse(arguments.next().ok_or("usage: presigned CONTAINER OBJECT")?)?;
    #[expect(clippy::disallowed_methods, reason = "the example's settings come from nowhere else")]
    let (key, settings) = (
        std::env::var("TEMP_URL_KEY")?,
        std::env::vars().filter(|(name, _)| name.starts_with("OS_") || name.starts_with("ST_")),
    );
    let swift = SwiftBuilder::new(container).with_settings(settings).with_temp_url_key(key).build()?;

    // As in a program that works with any store that can sign URLs.
    let signer: &dyn Signer = &swift;
    println!("{}", signer.signed_url(Method::GET, &location, Duration::from_hours(1)).await?);
    Ok(())
}
