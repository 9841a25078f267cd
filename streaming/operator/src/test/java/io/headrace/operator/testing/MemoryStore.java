package io.headrace.operator.testing;

import io.headrace.operator.state.ChunkStore;
import io.headrace.operator.state.PackedEvents;
import java.util.HashMap;
import java.util.Map;

/** Keeps the parts of a state in memory, and counts how often one is asked for. */
public final class MemoryStore implements ChunkStore {
    public final Map<Integer, PackedEvents> kept = new HashMap<>();
    public int loads;

    @Override
    public PackedEvents load(int number) {
        loads++;
        return kept.get(number);
    }

    @Override
    public void save(int number, PackedEvents events) {
        kept.put(number, events);
    }

    @Override
    public void delete(int number) {
        kept.remove(number);
    }
}
