//! KEDA's external push scaler: wakes actors from zero within about a second of the first message.
