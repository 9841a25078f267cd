package io.headrace.operator.state;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.headrace.operator.plan.ViewPlan;
import io.headrace.operator.testing.MemoryStore;
import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** Events in chunks are only unpacked where one of them is needed. */
class RawEventsTest {
    private static final ViewPlan VIEW =
            new ViewPlan(
                    "of_card", 1, "f", "payments", "card", null, List.of(), List.of(), List.of(),
                    List.of());
    private static final int EVENTS = 1_000;
    private static final int CHUNK = 10;

    private final MemoryStore store = new MemoryStore();
    private final RawEvents raw = new RawEvents(VIEW, CHUNK);

    @BeforeEach
    void fill() {
        raw.bind(store);
        for (int number = 0; number < EVENTS; number++) {
            raw.insert(number, number, new byte[] {(byte) number}, new Object[0]);
        }
        raw.release();
    }

    @Test
    void aSpanHasMoreThanSoManyEventsOrNot() {
        for (int from = 0; from < EVENTS; from += 7) {
            for (int count = 0; count < EVENTS; count += 9) {
                for (int length : new int[] {1, 30, EVENTS}) {
                    int held = Math.min(EVENTS, from + length) - from;
                    assertEquals(held > count, raw.hasMore(count, from, from + length));
                }
            }
        }
        assertFalse(raw.hasMore(0, EVENTS, EVENTS + 1));
    }

    @Test
    void whetherThereAreManyIsToldByWhatIsKnownOfChunks() {
        assertTrue(raw.hasMore(100, 0, EVENTS));
        assertTrue(raw.hasMore(500, 50, 2 * EVENTS));
        assertFalse(raw.hasMore(500, 900, EVENTS));
        assertFalse(raw.hasMore(EVENTS, -EVENTS, EVENTS));
        assertEquals(0, store.loads);
    }
}
