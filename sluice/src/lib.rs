//! The executables: sluiced, sluice and sluice-controller.
