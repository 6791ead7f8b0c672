"""Recorded episodes as data sets: one fixed rate, LeRobotDataset v3.0, tracking-policy npz, robomimic HDF5, CSV."""
