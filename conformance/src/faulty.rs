//! A store that goes wrong when it is told to, and remembers what it was asked to do.

mod dates;
mod faults;
mod store;
mod sweep;
mod upload;

use std::sync::Arc;

use swiftwal_core::Storage;

pub(crate) use self::{
    dates::Dates,
    faults::{Call, Faults, LISTING, ReadFault, SWEEP, WriteFault},
};
use self::{dates::FaultyClock, store::FaultyStore, sweep::FaultySweep};

/// `storage` behind [`Faults`]. What is written through it has the age that `dates` give it.
pub(crate) fn faulty(storage: Storage, faults: &Faults, dates: &Dates) -> Storage {
    let sweeper = storage.sweeper().map(|sweep| FaultySweep::new(Arc::clone(sweep), faults.clone()));
    let storage = storage
        .map_store(|store| Arc::new(FaultyStore::new(store, faults.clone(), dates.clone())))
        .with_clock(Arc::new(FaultyClock { dates: dates.clone(), faults: faults.clone() }));
    match sweeper {
        Some(sweeper) => storage.with_sweep(Arc::new(sweeper)),
        None => storage,
    }
}
