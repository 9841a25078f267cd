package io.headrace.operator.state;

/** Where the chunks of an entity with many events are, each by its number in its view. */
public interface ChunkStore {
    /** The events of a chunk. */
    PackedEvents load(int number);

    /** Keeps the events of a chunk. */
    void save(int number, PackedEvents events);

    /** Forgets a chunk. */
    void delete(int number);
}
