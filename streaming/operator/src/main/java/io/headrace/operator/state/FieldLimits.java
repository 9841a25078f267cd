package io.headrace.operator.state;

/**
 * How many events fields of the online store are about.
 *
 * @param blockEvents what has more is divided into blocks of shorter ranges, and an hour gets a tile
 * @param untiledEvents a day with more gets a tile
 */
public record FieldLimits(int blockEvents, int untiledEvents) {
    private static final int BLOCK_EVENTS = 64;
    private static final int UNTILED_EVENTS = 8;

    /** Updates of some KB, and no tile where reading the events costs no more. */
    public static final FieldLimits USUAL = new FieldLimits(BLOCK_EVENTS, UNTILED_EVENTS);
}
