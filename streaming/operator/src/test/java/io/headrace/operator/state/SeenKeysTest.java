package io.headrace.operator.state;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.headrace.operator.state.SeenKeys.Noted;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.api.Test;

class SeenKeysTest {
    private static final byte[] A = {1};
    private static final byte[] B = {2};
    private static final int MANY = 100;

    @Test
    void aKeyIsNewOnceWhateverItsTime() {
        SeenKeys keys = new SeenKeys();
        assertEquals(Noted.NEW, keys.add(100, A, 50, MANY));
        assertEquals(Noted.KNOWN, keys.add(100, A, 50, MANY));
        assertEquals(Noted.KNOWN, keys.add(120, A, 50, MANY));
        assertEquals(Noted.NEW, keys.add(110, B, 50, MANY));
    }

    @Test
    void keysBeyondTheHorizonAreForgotten() {
        SeenKeys keys = new SeenKeys();
        keys.add(100, A, 50, MANY);
        keys.add(151, B, 50, MANY);
        assertEquals(1, keys.size());
        assertEquals(Noted.NEW, keys.add(151, A, 50, MANY));
    }

    @Test
    void aKeyThatWasTakenBackIsNew() {
        SeenKeys keys = new SeenKeys();
        keys.add(100, A, 50, MANY);
        keys.remove(100, A);
        assertEquals(Noted.NEW, keys.add(100, A, 50, MANY));
    }

    @Test
    void whereThereIsNoRoomTheOldestIsForgottenAndItIsSaid() {
        SeenKeys keys = new SeenKeys();
        keys.add(100, A, 50, 1);
        assertEquals(Noted.CROWDED, keys.add(101, B, 50, 1));
        assertEquals(1, keys.size());
        assertEquals(Noted.KNOWN, keys.add(101, B, 50, 1));
        assertEquals(Noted.CROWDED, keys.add(102, A, 50, 1));
    }

    @Test
    void manyKeysAreRememberedLikeFew() {
        Random chance = new Random(3);
        SeenKeys keys = new SeenKeys();
        Map<Integer, Long> expected = new HashMap<>();
        for (long time = 0; time < 20_000; time++) {
            long horizon = time / 4_000 % 2 == 0 ? 300 : 10;
            int key = chance.nextInt(1_000);
            byte[] dedup = ("key " + key).getBytes(StandardCharsets.UTF_8);
            Long before = expected.get(key);
            Noted noted = keys.add(time, dedup, horizon, 1_000);
            assertEquals(before == null ? Noted.NEW : Noted.KNOWN, noted);
            if (before == null) {
                expected.put(key, time);
                long oldest = time - horizon;
                expected.values().removeIf(noticed -> noticed < oldest);
            } else if (chance.nextBoolean()) {
                keys.remove(before, dedup);
                expected.remove(key);
            }
            assertEquals(expected.size(), keys.size());
        }
    }
}
