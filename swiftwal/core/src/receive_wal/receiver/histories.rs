//! The histories of the server's timelines: each must be stored, with the same content, before WAL is received that
//! follows it.

use bytes::Bytes;
use swiftwal_postgres::{Timeline, TimelineHistory, WalName, WalServer, receiving, replication::Session};

use super::{Receiver, cause};
use crate::{
    error::{Error, Refusal, Result},
    receive_wal::continuity::is_removed,
    repository::{
        history::{Histories, check_history},
        wal_file::WalFile,
    },
};

impl Receiver<'_> {
    /// Returns the past of the server's timeline, and those of its histories that aren't stored yet.
    pub(super) async fn past(
        &mut self,
        session: &mut Session,
        server: &WalServer,
    ) -> Result<(TimelineHistory, Vec<(Timeline, Bytes)>)> {
        let (mut past, mut new) = (TimelineHistory::without_ancestors(server.timeline), Vec::new());
        if server.timeline != Timeline::FIRST {
            past = self.history(session, server.timeline, &mut new).await?;
        }
        let ancestors: Vec<_> = past.ancestors().iter().map(|ancestor| ancestor.timeline).collect();
        for timeline in ancestors.into_iter().filter(|timeline| *timeline != Timeline::FIRST) {
            match self.history(session, timeline, &mut new).await {
                Err(Error::Source(error)) if cause(&error).is_some_and(is_removed) => {
                    self.check_stored_history(&past, timeline).await?;
                }
                history => drop(history?),
            }
        }
        Ok((past, new))
    }

    /// Refuses a server without a history of `timeline` whose past differs from the stored one.
    async fn check_stored_history(&mut self, past: &TimelineHistory, timeline: Timeline) -> Result<()> {
        let mut stored = Histories::default();
        stored.look_for(self.repository, timeline).await?;
        let before = past.ancestors().iter().take_while(|ancestor| ancestor.timeline < timeline);
        match stored.get(timeline) {
            Some(stored) if !before.eq(stored.ancestors()) => {
                let refusal = Refusal::AnotherContent {
                    object: WalName::History(timeline).to_string(),
                    location: self.repository.location().to_owned(),
                    path: format!("the server's {}", WalName::History(past.timeline())),
                    history_of: Some(timeline),
                };
                Err(refusal.into())
            }
            None if !stored.has(timeline) && self.without_history.insert(timeline) => {
                tracing::warn!(
                    "neither the server nor the repository has the history of timeline {timeline}: recovery can't pass \
                     that timeline"
                );
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Asks for the history of a timeline. Two servers may have been promoted to one timeline: nothing is received from one
    /// whose history differs from the stored one, or from that of another server. One that isn't stored is added to `new`:
    /// the server may turn out to be another one.
    async fn history(
        &mut self,
        session: &mut Session,
        timeline: Timeline,
        new: &mut Vec<(Timeline, Bytes)>,
    ) -> Result<TimelineHistory> {
        let content = session.timeline_history(timeline).await.map_err(receiving)?;
        let file = WalFile::history(timeline, content.clone())?;
        match self.histories.get(&timeline) {
            Some(known) if *known == content => {}
            Some(_) => return Err(self.repository.another_content(&file, self.options.codec.format())),
            None if self.repository.wal_format(WalName::History(timeline)).await?.is_some() => {
                self.store_history(timeline, content.clone()).await?;
            }
            None => new.push((timeline, content.clone())),
        }
        check_history(timeline, &content, WalName::History(timeline))
    }

    /// Stores a history. If one is stored, it must be the same.
    pub(super) async fn store_history(&mut self, timeline: Timeline, content: Bytes) -> Result<()> {
        let file = WalFile::history(timeline, content.clone())?;
        if self.repository.archive_file(&file, self.options.codec).await?.is_some() {
            tracing::info!("stored {}", WalName::History(timeline));
        }
        self.histories.insert(timeline, content);
        Ok(())
    }
}
