//! Deletion: of plain objects, many in one request where the cluster offers it ([`Deletion`]), and of objects with the
//! segments that belong to them ([`ObjectDeletion`]).

mod bulk_report;
mod object_deletion;

use std::sync::Arc;

use futures::{FutureExt, StreamExt};
use http::{HeaderValue, Method, StatusCode, header};
use object_store::Result;

use self::bulk_report::{Report, lines};
pub(crate) use self::object_deletion::ObjectDeletion;
use crate::{
    client::{Info, REPORT_LIMIT, Request, rejected},
    concurrency::at_once,
    containers::Containers,
    outage::Outage,
    target::Target,
};

/// Deletes objects of any container, each for itself: a manifest goes without its segments.
#[derive(Clone, Debug)]
pub(crate) struct Deletion {
    containers: Arc<Containers>,
}

impl Deletion {
    pub(crate) fn new(containers: &Arc<Containers>) -> Self {
        Self { containers: Arc::clone(containers) }
    }

    /// Deletes objects, and says of each, in their order, whether it is gone. One that was absent is.
    ///
    /// Many go by bulk deletion where the cluster offers it; what that fails to delete is tried once more by
    /// itself, which also gives a failure its reason.
    pub(crate) async fn delete_all(&self, targets: &[Target]) -> Vec<Result<()>> {
        let outage = Outage::default();
        let gone = self.bulk_delete_all(targets, &outage).await;
        let singly = targets.iter().zip(gone).map(|(target, gone)| {
            let outage = &outage;
            async move { if gone { Ok(()) } else { outage.or(target, self.delete_one(target)).await } }
                .boxed()
        });
        at_once(singly).collect().await
    }

    /// Which of them are gone for certain.
    async fn bulk_delete_all(&self, targets: &[Target], outage: &Outage) -> Vec<bool> {
        if targets.len() > 1
            && let Ok(Info { bulk_delete: Some(limits), .. }) = self.containers.client.info().await
        {
            let mut gone = Vec::with_capacity(targets.len());
            for targets in targets.chunks(limits.max_deletes_per_request.max(1)) {
                let report = outage.or(&targets[0], self.bulk_delete(targets)).await.ok().flatten();
                gone.extend(report.map_or_else(|| vec![false; targets.len()], |report| report.gone(targets)));
            }
            return gone;
        }
        vec![false; targets.len()]
    }

    /// None: it was refused, or nothing is known of what it did.
    async fn bulk_delete(&self, targets: &[Target]) -> Result<Option<Report>> {
        let request = Request::new(Method::POST, "")
            .query("bulk-delete", "")
            .header(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"))
            .header(header::ACCEPT, HeaderValue::from_static("application/json"))
            .body(lines(targets).into());
        let response = self.containers.client.send(request).await?;
        if response.status != StatusCode::OK {
            return Ok(None);
        }
        Ok(response.bytes(REPORT_LIMIT).await.ok().and_then(|body| Report::parse(&body)))
    }

    /// Deletes one object; one that is absent is deleted.
    pub(crate) async fn delete_one(&self, target: &Target) -> Result<()> {
        let request = Request::object(Method::DELETE, &target.container, &target.name);
        let response = self.containers.client.send(request).await?;
        if response.status.is_success() || response.status == StatusCode::NOT_FOUND {
            return Ok(());
        }
        Err(rejected(response).await.into())
    }

    /// Deletes what nothing names any more. What can't be deleted now is left for a sweep, so that is no error
    /// of the operation that is over.
    pub(crate) async fn remove_quietly(&self, targets: Vec<Target>) {
        let results = self.delete_all(&targets).await;
        let failed = results.iter().filter(|result| result.is_err()).count();
        if let Some(Err(error)) = results.iter().find(|result| result.is_err()) {
            tracing::warn!(failed, of = targets.len(), %error, "segments are left behind, for a sweep to remove");
        }
    }
}
