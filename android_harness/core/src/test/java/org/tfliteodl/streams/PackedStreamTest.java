package org.tfliteodl.streams;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertThrows;

import java.io.File;
import java.io.IOException;
import java.util.Arrays;
import java.util.Map;
import org.junit.Test;
import org.tfliteodl.DataException;
import org.tfliteodl.contract.Json;
import org.tfliteodl.contract.Tensor;
import org.tfliteodl.contract.Vectors;
import org.tfliteodl.host.Batch;

public class PackedStreamTest {
  @Test
  public void filesAreReadOrRefusedAsTheVectorsSay() throws IOException {
    for (Json one : Vectors.cases("streams")) {
      File file = Vectors.file(one.get("file").text());
      String name = one.get("name").text();
      if (Vectors.isRefused(one)) {
        assertThrows(name, DataException.class, () -> PackedStream.open(file));
        continue;
      }
      PackedStream found = PackedStream.open(file);
      Vectors.assertSame(name, Vectors.tensors(one.get("tensors")), found.tensors());
      for (Map.Entry<String, String> fact : one.get("facts").texts().entrySet()) {
        assertEquals(fact.getValue(), found.facts().get(fact.getKey()));
      }
      assertEquals(Arrays.asList("Zürich", "Bern"), found.classes());
    }
  }

  @Test
  public void batchesGoOnFromAnyPlaceAndRoundTheEnd() {
    Tensor x = Tensor.of(new float[] {0, 1, 2, 3, 4}, 5, 1);
    Tensor y = Tensor.of(new int[] {0, 10, 20, 30, 40});
    StoredOrder source = new StoredOrder(x, y, 3);
    assertArrayEquals(new int[] {0, 1, 2}, rows(source, 0));
    assertArrayEquals(new int[] {3, 4, 0}, rows(source, 1));
    assertArrayEquals(new int[] {1, 2, 3}, rows(source, 2));
    // Places are counted in 64 bits.
    assertArrayEquals(rows(source, 4_000_000_000L % 5), rows(source, 4_000_000_000L));
    assertArrayEquals(new int[] {0, 1, 2, 3, 4, 0, 1}, rows(new StoredOrder(x, y, 7), 0));
  }

  private static int[] rows(StoredOrder source, long position) {
    Batch batch = source.batch(position);
    int[] x = source.x().ints();
    int[] y = source.y().ints();
    for (int i = 0; i < x.length; i++) {
      assertEquals(x[i] * 10, y[i]);
    }
    return batch == null ? null : x;
  }
}
