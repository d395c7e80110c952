"""The benchmark suite: ours and the peers' side by side, results checked. Run it with `apex bench`."""
