package io.headrace.operator.state;

/** Takes the fields of an entity's online state that an event has changed, in their order. */
public interface FieldSink {
    /** The new content of a field; without any bytes the field is no more. */
    void put(String field, byte[] content);

    /** Whether what was put for the event at hand was too large to be taken. */
    default boolean lacksSome() {
        return false;
    }
}
