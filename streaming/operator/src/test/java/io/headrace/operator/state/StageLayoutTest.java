package io.headrace.operator.state;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import io.headrace.operator.plan.ColumnRef;
import io.headrace.operator.plan.ColumnType;
import io.headrace.operator.plan.ViewPlan;
import java.io.IOException;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.CyclicBarrier;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.apache.flink.core.memory.DataOutputSerializer;
import org.junit.jupiter.api.Test;

/** A state is changed by one thread while another still writes it as it was. */
class StageLayoutTest {
    private static final int ROUNDS = 2_000;
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
    void whatACopyTakesInIsNotInTheStateThatItWasMadeOf() throws IOException {
        StageState state = filled();
        byte[] before = written(state);
        StageState copy = layout.copied(state);
        assertArrayEquals(before, written(copy));
        copy.bind(NO_CHUNKS);
        take(copy, EVENTS);
        assertArrayEquals(before, written(state));
        assertEquals(EVENTS + 1, copy.view(0).rawEvents());
    }

    @Test
    void aStateCanBeCopiedAgain() throws IOException {
        StageState state = filled();
        byte[] before = written(state);
        StageState first = layout.copied(state);
        first.bind(NO_CHUNKS);
        take(first, EVENTS);
        StageState second = layout.copied(state);
        second.bind(NO_CHUNKS);
        assertArrayEquals(before, written(second));
        assertEquals(EVENTS, second.view(0).rawEvents());
    }

    @Test
    void aStateThatWasHandedOverIsNotUsedAnyMore() throws IOException {
        StageState state = filled();
        layout.copied(state);
        assertThrows(IllegalStateException.class, () -> state.bind(NO_CHUNKS));
    }

    @Test
    void aStateOfAnEarlierPlanStaysAsItWasWhenItsCopyTakesInMore() throws IOException {
        StageLayout later = new StageLayout(List.of(VIEW), List.of("payments", "refunds"));
        StageState state = filled();
        byte[] before = written(later, state);
        StageState copy = later.copied(state);
        copy.bind(NO_CHUNKS);
        take(copy, EVENTS);
        assertArrayEquals(before, written(later, state));
        assertEquals(EVENTS + 1, copy.view(0).rawEvents());
    }

    @Test
    void aCheckpointWritesAStateAsItWasWhileTheCopyTakesInMore() throws Exception {
        ExecutorService checkpoints = Executors.newSingleThreadExecutor();
        try {
            byte[] before = written(filled());
            for (int round = 0; round < ROUNDS; round++) {
                StageState state = filled();
                CyclicBarrier both = new CyclicBarrier(2);
                Callable<byte[]> checkpoint =
                        () -> {
                            both.await();
                            return written(state);
                        };
                Future<byte[]> snapshot = checkpoints.submit(checkpoint);
                both.await();
                StageState copy = layout.copied(state);
                copy.bind(NO_CHUNKS);
                take(copy, EVENTS);
                assertArrayEquals(before, snapshot.get());
            }
        } finally {
            checkpoints.shutdownNow();
        }
    }

    private StageState filled() {
        StageState state = layout.newState();
        state.bind(NO_CHUNKS);
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

    private byte[] written(StageState state) throws IOException {
        return written(layout, state);
    }

    private static byte[] written(StageLayout by, StageState state) throws IOException {
        DataOutputSerializer out = new DataOutputSerializer(16);
        by.write(out, state);
        return out.getCopyOfBuffer();
    }
}
