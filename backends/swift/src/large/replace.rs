use http::{Method, StatusCode};
use object_store::Result;

use super::Segment;
use crate::{
    bulk::Target,
    client::{Request, rejected},
    object::Shape,
    store::Store,
};

impl Store {
    /// What will be named by nothing any more once this object is replaced: the segments it has, as far as they
    /// lie in this store's own container for them.
    pub(crate) async fn segments_to_replace(&self, object: &Target) -> Result<Vec<Target>> {
        // A missing container is the PUT's business.
        let request = Request::object(Method::HEAD, &object.container, &object.name);
        let response = self.client.send(request).await?;
        if response.status == StatusCode::NOT_FOUND {
            return Ok(Vec::new());
        }
        if !response.status.is_success() {
            return Err(rejected(response).await.into());
        }
        self.own_segments(object, &Shape::of(&response.headers)).await
    }

    /// The manifest of an object that is a static large one, and None for any other, whose content isn't read.
    pub(crate) async fn static_manifest(&self, object: &Target) -> Result<Option<Vec<Segment>>> {
        match self.shape(object).await? {
            Some(Shape::Static) => self.manifest(object).await,
            _ => Ok(None),
        }
    }

    async fn own_segments(&self, object: &Target, shape: &Shape) -> Result<Vec<Target>> {
        match shape {
            Shape::Plain => Ok(Vec::new()),
            Shape::Static => {
                let manifest = self.manifest(object).await?.unwrap_or_default();
                let targets = self.levels(&manifest).await?.into_iter().flatten();
                Ok(targets.filter(|target| target.container == self.segments).collect())
            }
            Shape::Dynamic { container, prefix } if *container == self.segments => {
                let segments = self.dynamic_segments(object, container, prefix).await?;
                Ok(segments.into_iter().map(|segment| Target::new(container, segment.name)).collect())
            }
            Shape::Dynamic { .. } => Ok(Vec::new()),
        }
    }
}
