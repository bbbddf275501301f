package org.tfliteodl.run;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import java.util.LinkedHashMap;
import java.util.Map;
import org.junit.Test;
import org.tfliteodl.ContractException;

/** What an intent may ask for, and what it may not. */
public class RequestTest {
  private static Request request(String... changes) {
    Map<String, String> values = new LinkedHashMap<>();
    values.put("run", "first");
    values.put("artifact", "signs");
    values.put("stream", "stream.packed");
    for (int i = 0; i < changes.length; i += 2) {
      values.put(changes[i], changes[i + 1]);
    }
    return new Request(values);
  }

  @Test
  public void whatIsLeftOutHasADefault() {
    Request found = request("command", "start");
    assertEquals(100, found.steps());
    assertEquals(2, found.threads());
    assertEquals(-1, found.label());
    assertTrue(!found.charging() && !found.idle() && !found.isLive());
    assertTrue(found.settings().isEmpty());
  }

  @Test
  public void valuesAreTaken() {
    Request found =
        request("stream", "sensors", "idle", "true", "settings", "tau=0.5,learning_rate=1e-3");
    assertTrue(found.isLive() && found.idle());
    assertEquals(1e-3, found.settings().get("learning_rate"), 0);
    assertEquals("first", new Request(found.values()).run());
  }

  @Test
  public void namesDoNotLeaveTheirFolder() {
    for (String name : new String[] {"../other", "/data", "", "..", ".hidden"}) {
      for (String what : new String[] {"run", "artifact", "stream"}) {
        ContractException told =
            assertThrows(ContractException.class, () -> request(what, name));
        assertTrue(told.getMessage(), told.getMessage().contains(what));
      }
    }
  }

  @Test
  public void numbersAreNumbers() {
    for (String[] wrong :
        new String[][] {
          {"steps", "many"}, {"steps", "0"}, {"threads", "-1"}, {"label", "x"},
          {"settings", "tau"}, {"settings", "tau=x"}
        }) {
      assertThrows(ContractException.class, () -> request(wrong));
    }
  }
}
