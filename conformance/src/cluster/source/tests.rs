//! The events of the synthetic source.

use super::*;

async fn events(source: &SyntheticSource) -> Vec<BaseBackupEvent> {
    let mut stream = source.start(&request("x", false)).await.unwrap();
    let mut events = Vec::new();
    while let Ok(Some(event)) = stream.next().await {
        events.push(event);
    }
    events
}

fn data_bytes(events: &[BaseBackupEvent]) -> usize {
    let bytes = |event: &BaseBackupEvent| match event {
        BaseBackupEvent::Data(data) => data.len(),
        _ => 0,
    };
    events.iter().map(bytes).sum()
}

#[tokio::test]
async fn tablespaces_come_first_and_the_end_is_said() {
    let events = events(&SyntheticCluster::new(1).with_tablespace(16400, "/srv/fast").backup(3, 4)).await;
    let archives: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            BaseBackupEvent::Archive { tablespace } => Some(tablespace.as_ref().map(|t| t.oid)),
            _ => None,
        })
        .collect();
    assert_eq!(archives, [Some(16400), None]);
    assert!(matches!(events.first(), Some(BaseBackupEvent::Started(_))));
    assert!(matches!(events.last(), Some(BaseBackupEvent::Finished { .. })));
}

#[tokio::test]
async fn a_fault_strikes_after_as_many_bytes_as_it_says() {
    let source = SyntheticCluster::new(1).backup(3, 4);
    for bytes in [0, 1, 700, 200_000] {
        let failed = events(&source.clone().with_fault(SourceFault::FailsAfter(bytes))).await;
        assert_eq!(data_bytes(&failed), bytes);
        assert!(!matches!(failed.last(), Some(BaseBackupEvent::Finished { .. })));
        let truncated = events(&source.clone().with_fault(SourceFault::TruncatedAfter(bytes))).await;
        assert_eq!(data_bytes(&truncated), bytes);
        assert!(matches!(truncated.last(), Some(BaseBackupEvent::Finished { .. })));
    }
}
