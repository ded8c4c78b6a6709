//! Deletes single objects, many in one request if the cluster supports it.

mod bulk_report;

use std::sync::Arc;

use futures::{FutureExt, StreamExt};
use http::{HeaderValue, Method, StatusCode, header};
use object_store::Result;

use self::bulk_report::{Report, lines};
use crate::{
    client::{REPORT_LIMIT, Request, rejected},
    concurrency::at_once,
    containers::Containers,
    dialect::Info,
    error::StoreError,
    outage::Outage,
    target::Target,
};

/// Deletes single objects of any container: a manifest is deleted without its segments.
#[derive(Clone, Debug)]
pub(crate) struct Deletion {
    containers: Arc<Containers>,
}

impl Deletion {
    pub(crate) fn new(containers: &Arc<Containers>) -> Self {
        Self { containers: Arc::clone(containers) }
    }

    /// Deletes objects, and returns for each, in order, whether it succeeded. A missing object is success.
    ///
    /// Many objects are deleted by bulk deletion, if the cluster supports it. What that can't delete is deleted again
    /// by a single request, which also gives the reason for a failure.
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

    /// Returns which of the objects were certainly deleted.
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

    /// Returns None if the request was refused, or its effect isn't known.
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

    /// Deletes one object. A missing object is success.
    pub(crate) async fn delete_one(&self, target: &Target) -> Result<()> {
        let request = Request::object(Method::DELETE, &target.container, &target.name);
        let response = self.containers.client.send(request).await?;
        if response.status.is_success() || response.status == StatusCode::NOT_FOUND {
            return Ok(());
        }
        Err(rejected(response).await.into())
    }

    /// Deletes a static large object with the segments that its manifest names, in one request. Returns false if the
    /// server says that there is no such large object.
    ///
    /// # Errors
    ///
    /// What the server reports. Segments may be left then, without their manifest.
    pub(crate) async fn delete_with_segments(&self, target: &Target) -> Result<bool> {
        let request = Request::object(Method::DELETE, &target.container, &target.name)
            .query("multipart-manifest", "delete")
            .header(header::ACCEPT, HeaderValue::from_static("application/json"));
        let response = self.containers.client.send(request).await?;
        match response.status {
            StatusCode::OK => {}
            StatusCode::NO_CONTENT => return Ok(true),
            StatusCode::NOT_FOUND => return Ok(false),
            _ => return Err(rejected(response).await.into()),
        }
        let protocol =
            |reason: &str| StoreError::Protocol { target: target.to_string(), reason: reason.to_owned() };
        let report = Report::parse(&response.bytes(REPORT_LIMIT).await?);
        let report = report.ok_or_else(|| protocol("its deletion isn't reported"))?;
        match report.failure() {
            None => Ok(true),
            Some(_) if report.refuses_only(target) => Ok(false),
            Some(reason) => Err(StoreError::Large { target: target.to_string(), reason }.into()),
        }
    }

    /// Deletes objects that nothing refers to any more. A failure isn't an error of the operation, which has succeeded:
    /// the sweep removes the rest.
    pub(crate) async fn remove_quietly(&self, targets: Vec<Target>) {
        let results = self.delete_all(&targets).await;
        let failed = results.iter().filter(|result| result.is_err()).count();
        if let Some(Err(error)) = results.iter().find(|result| result.is_err()) {
            tracing::warn!(failed, of = targets.len(), %error, "segments are left behind until a sweep removes them");
        }
    }
}
