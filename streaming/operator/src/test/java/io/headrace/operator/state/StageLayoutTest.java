package io.headrace.operator.state;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.headrace.operator.plan.ColumnRef;
import io.headrace.operator.plan.ColumnType;
import io.headrace.operator.plan.ViewPlan;
import io.headrace.operator.testing.MemoryStore;
import java.nio.charset.StandardCharsets;
import java.util.List;
import org.junit.jupiter.api.Test;

/** A state is packed between its events: a checkpoint may write it while its entity goes on. */
class StageLayoutTest {
    private static final int EVENTS = 10;

    private static final ViewPlan VIEW =
            new ViewPlan(
                    "of_card",
                    1,
                    "f",
                    "payments",
                    "card",
                    null,
                    List.of(),
                    List.of(new ColumnRef("amount", ColumnType.INT64)),
                    List.of(),
                    List.of());
    private static final ChunkStore[] NO_CHUNKS = {null};

    private final StageLayout layout = new StageLayout(List.of(VIEW), List.of("payments"));

    @Test
    void whatWasPackedStaysAsItIsWhileItsEntityGoesOn() {
        PackedState packed = layout.packed(filled());
        byte[] before = packed.bytes().clone();
        StageState goesOn = unpacked(layout, packed);
        take(goesOn, EVENTS);
        assertArrayEquals(before, packed.bytes());
        assertEquals(EVENTS + 1, goesOn.view(0).rawEvents());
        assertEquals(EVENTS, unpacked(layout, packed).view(0).rawEvents());
    }

    @Test
    void everythingOfAStateIsPacked() {
        StageState state = filled();
        state.timer = -7;
        state.partitions[0] = 1L << 63;
        PackedState packed = layout.packed(state);
        StageState read = unpacked(layout, packed);
        assertEquals(-7, read.timer);
        assertEquals(1L << 63, read.partitions[0]);
        assertEquals(EVENTS, read.seen(0).size());
        assertArrayEquals(packed.bytes(), layout.packed(read).bytes());
    }

    @Test
    void aStateOfAnEarlierPlanIsBroughtOverAndStaysAsItWas() {
        StageLayout later = new StageLayout(List.of(VIEW), List.of("payments", "refunds"));
        PackedState packed = layout.packed(filled());
        byte[] before = packed.bytes().clone();
        StageState state = unpacked(later, packed);
        take(state, EVENTS);
        assertArrayEquals(before, packed.bytes());
        assertEquals(EVENTS + 1, state.view(0).rawEvents());
        assertEquals(0, state.seen(1).size());
        PackedState adopted = later.adopted(packed);
        assertSame(later, adopted.layout());
        assertEquals(EVENTS, unpacked(later, adopted).view(0).rawEvents());
    }

    @Test
    void aStateOfTheSamePlanIsTakenAsItIs() {
        StageLayout same = new StageLayout(List.of(VIEW), List.of("payments"));
        PackedState packed = layout.packed(filled());
        assertSame(packed, same.adopted(packed));
    }

    @Test
    void aStateOfAnotherReleaseIsRefused() {
        byte[] bytes = layout.packed(filled()).bytes().clone();
        bytes[0]++;
        IllegalArgumentException refused =
                assertThrows(
                        IllegalArgumentException.class,
                        () -> layout.unpacked(new PackedState(layout, bytes)));
        assertEquals("state is packed in version 4, this release reads 3", refused.getMessage());
    }

    @Test
    void whatIsPackedOfABusyEntityGrowsWithTheRootOfItsEvents() {
        MemoryStore chunks = new MemoryStore();
        PackedState packed = layout.packed(layout.newState());
        int few = 1_000;
        int many = 64_000;
        int bytesOfFew = 0;
        for (int number = 0; number < many; number++) {
            StageState state = layout.unpacked(packed);
            state.bind(new ChunkStore[] {chunks}, new ChunkStore[1]);
            byte[] dedup = String.valueOf(number).getBytes(StandardCharsets.UTF_8);
            state.view(0).raw.insert(number, number, dedup, new Object[] {(long) number});
            state.release();
            packed = layout.packed(state);
            if (number == few) {
                bytesOfFew = packed.bytes().length;
            }
        }
        assertTrue(packed.bytes().length < 16 * bytesOfFew, packed.bytes().length + " " + bytesOfFew);
        int events = chunks.kept.values().stream().mapToInt(part -> part.unpacked().size()).sum();
        StageState state = layout.unpacked(packed);
        assertEquals(many, state.view(0).rawEvents());
        assertTrue(events > many - 1_000);
    }

    private static StageState unpacked(StageLayout layout, PackedState packed) {
        StageState state = layout.unpacked(packed);
        state.bind(NO_CHUNKS, new ChunkStore[2]);
        return state;
    }

    private StageState filled() {
        StageState state = layout.newState();
        state.bind(NO_CHUNKS, new ChunkStore[2]);
        for (int number = 0; number < EVENTS; number++) {
            take(state, number);
        }
        return state;
    }

    private static void take(StageState state, int number) {
        byte[] dedup = {(byte) number};
        state.seen(0).add(number, dedup, 100, 100);
        state.view(0).raw.insert(number, number, dedup, new Object[] {(long) number});
    }
}
