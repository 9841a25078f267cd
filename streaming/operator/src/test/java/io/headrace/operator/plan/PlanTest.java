package io.headrace.operator.plan;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
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

    private static final String FULL =
            """
            {"version": 1, "project": "shop", "sources": [
              {"name": "orders", "topic": "orders-v1", "schema": "Order", "schema_version": "v1", "event_time": "at",
               "dedup_key": "id", "available_at": null, "rank": 1,
               "plausible": {"earliest_ms": 946684800000, "latest_ms": 4102444800000},
               "columns": [
                 {"name": "id", "type": "string", "nullable": false, "min_length": 1,
                  "pattern": "^o", "role": "identifier"},
                 {"name": "at", "type": "int64", "nullable": false, "minimum": 0, "role": "time_ms"},
                 {"name": "share", "type": "float64", "nullable": true, "minimum": 0.0,
                  "maximum": 1.5, "role": "value"}]}],
             "views": [
              {"name": "buyer", "version": 3, "fingerprint": "f", "source": "orders",
               "join_key": "id", "filter": null, "derived": [
                 {"name": "big", "type": "bool", "expression": {"node": "literal"}}],
               "columns": [{"name": "share", "type": "float64"}],
               "partials": [{"kind": "count"},
                 {"kind": "moments", "column": 0, "floating": true, "with_squares": true},
                 {"kind": "edge", "columns": [0], "last": true}],
               "features": [
                 {"name": "sum_1d", "kind": "sum", "partial": 1, "type": "float64",
                  "window": {"kind": "sliding", "size_ms": 86400000, "hop_ms": 1, "delay_ms": 5},
                  "exclude_current": true, "default": 0},
                 {"name": "q", "kind": "quantile", "partial": 1, "type": "float64",
                  "window": {"kind": "session", "gap_ms": 7, "delay_ms": 0},
                  "exclude_current": false, "default": null, "q": [19, 20]}]}],
             "decisions": [
              {"name": "accept", "source": "orders",
               "stages": [{"join_key": "id", "views": ["buyer"]}],
               "rules": [{"name": "many", "when": {"node": "literal"}}]}]}
            """;

    @Test
    void aPlanIsReadWhole() {
        Plan plan = Plan.read(FULL);

        SourcePlan orders = plan.sources().get(plan.sourcePlace("orders"));
        assertEquals(List.of("id", "at", "share"), orders.columnNames());
        assertEquals(1, orders.timePlace());
        assertEquals(-1, orders.availablePlace());
        ColumnPlan id = orders.columns().get(0);
        assertEquals(ColumnPlan.Role.IDENTIFIER, id.role());
        assertEquals("^o", id.pattern());
        assertEquals(1, id.minLength());
        assertEquals(0L, orders.columns().get(1).minimum());
        assertEquals(0.0, orders.columns().get(2).minimum());
        ViewPlan buyer = plan.view("buyer");
        assertNull(buyer.filter());
        assertEquals(-1, buyer.partials().get(0).column());
        assertTrue(buyer.partials().get(1).withSquares());
        assertEquals(List.of(0), buyer.partials().get(2).columns());
        FeaturePlan sum = buyer.features().get(0);
        assertEquals(new WindowPlan(WindowPlan.Kind.SLIDING, 86_400_000, 1, 5, 0), sum.window());
        assertEquals(0.0, sum.defaultValue());
        assertTrue(sum.excludeCurrent());
        assertEquals(19, buyer.features().get(1).qNumerator());
        assertEquals(7, buyer.features().get(1).window().gapMs());
        DecisionPlan accept = plan.decisions().get(0);
        assertEquals(List.of(new StagePlan("id", List.of("buyer"))), accept.stages());
        assertEquals("many", accept.rules().get(0).name());
    }

    @Test
    void aNameThatIsNoneOfAKindIsRefusedWithThoseThatAre() {
        IllegalArgumentException error =
                assertThrows(
                        IllegalArgumentException.class,
                        () -> Plan.read(FULL.replace("\"session\"", "\"hopping\"")));
        assertEquals(
                "the plan says hopping, expected one of sliding, tumbling, session, unbounded",
                error.getMessage());
    }
}
