//! A store that injects faults and records the calls that it receives.

mod create;
mod dates;
mod effect;
mod faults;
mod pace;
mod store;
mod sweep;
mod top_names;
mod upload;

use std::sync::Arc;

use swiftwal_core::Storage;

use self::{
    create::FaultyCreate, dates::FaultyClock, effect::hint, store::FaultyStore, sweep::FaultySweep,
    top_names::UnlistedTopNames,
};
pub(crate) use self::{
    dates::Dates,
    effect::HINT,
    faults::{Call, Faults, LISTING, ReadFault, SWEEP, WriteFault},
};

/// Wraps `storage` with [`Faults`]. The age of what is written through it comes from `dates`.
pub(crate) fn faulty(storage: Storage, faults: &Faults, dates: &Dates) -> Storage {
    let sweep = storage.sweeper().map(|sweep| FaultySweep::new(Arc::clone(sweep), faults.clone()));
    let create = storage
        .create_in_parts()
        .map(|create| FaultyCreate::new(Arc::clone(create), faults.clone(), dates.clone()));
    let mut storage = storage
        .map_store(|store| Arc::new(FaultyStore::new(store, faults.clone(), dates.clone())))
        .with_clock(Arc::new(FaultyClock { dates: dates.clone(), faults: faults.clone() }))
        .with_hints(hint);
    if let Some(sweep) = sweep {
        storage = storage.with_sweep(Arc::new(sweep));
    }
    if let Some(create) = create {
        storage = storage.with_create_in_parts(Arc::new(create));
    }
    if faults.is_unlisted() {
        storage = storage.with_top_names(Arc::new(UnlistedTopNames));
    }
    storage
}
