package io.headrace.operator.stream;

/** A decoded event on its way through the stages, with what the stages have answered so far. */
public final class Envelope {
    /** The features of a view are right as of the event's time. */
    public static final byte COMPLETE = 0;

    /** The event came too late for its view: what it would need is folded away. */
    public static final byte LATE = 1;

    /** A sum over the view's events is outside int64: its features are unknown. */
    public static final byte OVERFLOW = 2;

    /** Some features are unknown: they were declared after events that they would need. */
    public static final byte INCOMPLETE = 3;

    /** There was no room for some of the view's events: its features lack them. */
    public static final byte FULL = 4;

    /** Place of the source in the plan. */
    public int source;

    /** When the event could first be known, ms UTC: its place in the stream. */
    public long available;

    /** Event time, ms UTC. */
    public long time;

    /** The values of the source's columns. */
    public Object[] row;

    /** The record as it was read; null where it had no value, which is no event. */
    public byte[] raw;

    /** Where the record was read. */
    public int partition;

    /** Where in its partition. */
    public long offset;

    /** When the record was sent or appended, ms UTC. */
    public long sentAt;

    /** The key of the record as it was read, or null. */
    public byte[] rawKey;

    /** Why the record can't be used, a code of the contracts; null for an event. */
    public String reason;

    /** The reason in words. */
    public String message;

    /** Features so far, by their place in the decision; null for a fact that nobody asked about. */
    public Object[] values;

    /** Of each view of the decision, how many events its state had absorbed. */
    public long[] sequences;

    /** Of each view of the decision, whether its features are right. */
    public byte[] statuses;
}
