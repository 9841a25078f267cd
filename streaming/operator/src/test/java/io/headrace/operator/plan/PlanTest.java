package io.headrace.operator.plan;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.Test;

class PlanTest {
    @Test
    void aPlanOfAnotherVersionIsRefused() {
        IllegalArgumentException error =
                assertThrows(
                        IllegalArgumentException.class, () -> Plan.read("{\"version\": 2}"));
        assertEquals("the plan has version 2, this operator reads 1", error.getMessage());
    }

    @Test
    void whatIsNoPlanIsRefused() {
        assertThrows(IllegalArgumentException.class, () -> Plan.read("{"));
    }

    @Test
    void aPlanWithoutViewsHasNone() {
        Plan plan = Plan.read("{\"version\": 1, \"project\": \"empty\"}");
        assertEquals("empty", plan.project());
        assertTrue(plan.views().isEmpty());
        assertThrows(IllegalArgumentException.class, () -> plan.view("any"));
        assertThrows(IllegalArgumentException.class, () -> plan.sourcePlace("any"));
    }
}
