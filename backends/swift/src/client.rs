mod info;
mod request;
mod response;

pub(crate) use self::{info::Info, request::Request, response::Response};
use crate::{Config, ConfigError, Error};

/// One account of Swift: endpoint, token, retries. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Client {}

impl Client {
    /// Makes the client; nothing is sent yet.
    pub(crate) fn new(_config: Config) -> Result<Self, ConfigError> {
        todo!()
    }

    /// Sends it, with token and retries. Any status below 500 other than 401, 408, 429 and 498 comes back as a
    /// response, for the caller to judge.
    pub(crate) async fn send(&self, _request: Request) -> Result<Response, Error> {
        todo!()
    }

    /// What `/info` says of the cluster's limits; asked once, then remembered.
    pub(crate) async fn info(&self) -> Result<Info, Error> {
        todo!()
    }
}
